"""`type: http`: what it sends, what the model reads, and what it cannot be made to reach."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError
from pytest_django import Settings

from apps.agents.registry import BuildContext
from apps.agents.tools.http import HttpSpec, build
from apps.tenancy import outbound
from apps.tenancy.outbound import AddressRefused, GuardedTransport
from tests.agents.running import call, until
from tests.support.http_server import Answer, LocalServer, Request

pytestmark = pytest.mark.anyio
TEXT = {"type": "string"}
JSON = {"Content-Type": "application/json; charset=utf-8"}


def tool(context: BuildContext, **spec: Any) -> Any:
    return build("the_tool", HttpSpec.model_validate({"type": "http", **spec}), context)


@pytest.fixture(autouse=True)
def _this_machine_is_allowed(settings: Settings) -> None:
    settings.HECTOR_HTTP_ALLOW = ["127.0.0.1"]


@pytest.fixture
def echo() -> Iterator[LocalServer]:
    """Answers with what it was asked."""

    def respond(request: Request) -> Answer:
        seen = {"method": request.method, "path": request.path, "body": request.body.decode()}
        return Answer(json.dumps(seen).encode(), headers=JSON)

    with LocalServer(respond) as server:
        yield server


def redirects(status: int, location: str) -> LocalServer:
    return LocalServer(lambda request: Answer(status=status, headers={"Location": location}))


# --- Requests and answers -------------------------------------------------------------------------------------------
async def test_an_answer_has_status_type_and_body(context: BuildContext, echo: LocalServer) -> None:
    answer = await call(tool(context, url=f"{echo.url}/orders/{{id}}", parameters={"id": {"type": "integer"}}), id=7)

    assert answer.content["status"] == 200
    assert answer.content["content_type"] == JSON["Content-Type"]
    assert json.loads(answer.content["body"])["path"] == "/orders/7"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("../admin", "/orders/..%2Fadmin/lines"),
        ("a/b", "/orders/a%2Fb/lines"),
        ("x?admin=1", "/orders/x%3Fadmin%3D1/lines"),
        ("x#y", "/orders/x%23y/lines"),
        ("@evil.example", "/orders/%40evil.example/lines"),
        ("a b\r\nHost: evil", "/orders/a%20b%0D%0AHost%3A%20evil/lines"),
        ("%2e%2e", "/orders/%252e%252e/lines"),
        ("ä", "/orders/%C3%A4/lines"),
        ("${secret:TOKEN}", "/orders/%24%7Bsecret%3ATOKEN%7D/lines"),
    ],
)
async def test_a_value_stays_within_its_part_of_the_address(
    context: BuildContext, echo: LocalServer, value: str, path: str
) -> None:
    await call(tool(context, url=f"{echo.url}/orders/{{id}}/lines", parameters={"id": TEXT}), id=value)

    assert [request.path for request in echo.requests] == [path]


@pytest.mark.parametrize("value", [".", ".."])
async def test_a_value_cannot_climb_up(context: BuildContext, echo: LocalServer, value: str) -> None:
    answer = await call(tool(context, url=f"{echo.url}/orders/{{id}}/lines", parameters={"id": TEXT}), id=value)

    assert answer.outcome == "retried"
    assert echo.requests == []


async def test_query_and_body_are_filled_in(context: BuildContext, echo: LocalServer) -> None:
    toolset = tool(
        context,
        method="POST",
        url=f"{echo.url}/search?fixed=1",
        query={"q": "about {topic}"},
        body={"limit": "{limit}", "tags": ["all", "{topic}"], "note": "at most {limit}"},
        parameters={"topic": TEXT, "limit": {"type": "integer"}},
    )
    await call(toolset, topic="a&b=c", limit=3)

    request = echo.requests[0]
    assert request.path == "/search?fixed=1&q=about+a%26b%3Dc"
    assert json.loads(request.body) == {"limit": 3, "tags": ["all", "a&b=c"], "note": "at most 3"}
    assert request.headers["content-type"] == "application/json"


async def test_a_secret_goes_into_the_header_and_not_into_values(context: BuildContext, echo: LocalServer) -> None:
    headers = {"Authorization": "Bearer ${secret:TOKEN}", "X-Note": "{note}"}
    await call(tool(context, url=echo.url, headers=headers, parameters={"note": TEXT}), note="${secret:TOKEN}")

    assert echo.requests[0].headers["authorization"] == "Bearer s3cr3t-value"
    assert echo.requests[0].headers["x-note"] == "${secret:TOKEN}"


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\0", "ä"])
async def test_a_value_cannot_add_a_header(context: BuildContext, echo: LocalServer, value: str) -> None:
    answer = await call(
        tool(context, url=echo.url, headers={"X-Note": "{note}"}, parameters={"note": TEXT}), note=value
    )

    assert answer.outcome == "retried"
    assert echo.requests == []


async def test_an_error_status_is_an_answer(context: BuildContext) -> None:
    with LocalServer(lambda request: Answer(b"no such order", 404, {"Content-Type": "text/plain"})) as server:
        answer = await call(tool(context, url=server.url))

    assert answer.content == {"status": 404, "content_type": "text/plain", "body": "no such order"}


async def test_a_server_that_is_not_there_is_a_failed_call(context: BuildContext) -> None:
    answer = await call(tool(context, url="http://127.0.0.1:1/"))

    assert answer.outcome == "failed"
    assert "127.0.0.1 cannot be reached" in answer.content


async def test_a_huge_answer_is_cut(context: BuildContext) -> None:
    with LocalServer(lambda request: Answer(b"x" * 50_000_000, headers={"Content-Type": "text/plain"})) as server:
        answer = await call(tool(context, url=server.url, max_bytes=1000))

    assert answer.content["body"] == "x" * 1000
    assert answer.content["note"] == "only the first 1000 bytes of the body"


@pytest.mark.parametrize(
    ("body", "headers", "note"),
    [
        (b"\x89PNG\r\n", {"Content-Type": "image/png"}, "not text"),
        (b"\x1f\x8b....", {"Content-Type": "text/plain", "Content-Encoding": "gzip"}, "compressed"),
    ],
)
async def test_a_body_that_cannot_be_read_is_left_out(
    context: BuildContext, body: bytes, headers: dict[str, str], note: str
) -> None:
    with LocalServer(lambda request: Answer(body, headers=headers)) as server:
        answer = await call(tool(context, url=server.url))

    assert "body" not in answer.content
    assert note in answer.content["note"]


async def test_text_that_is_not_utf_8_is_still_an_answer(context: BuildContext) -> None:
    with LocalServer(lambda request: Answer(b"caf\xe9", headers={"Content-Type": "text/plain"})) as server:
        answer = await call(tool(context, url=server.url))

    assert answer.content["body"] == "caf\ufffd"


async def test_cancelling_ends_a_call_at_once(context: BuildContext) -> None:
    with LocalServer(lambda request: None) as server:
        calling = asyncio.create_task(call(tool(context, url=server.url)))
        await until(lambda: bool(server.requests))
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(calling, timeout=2)


# --- Redirects ------------------------------------------------------------------------------------------------------
async def test_a_redirect_within_the_origin_keeps_the_headers(context: BuildContext) -> None:
    def respond(request: Request) -> Answer:
        if request.path == "/old":
            return Answer(status=302, headers={"Location": "/new"})
        return Answer(b"here", headers={"Content-Type": "text/plain"})

    with LocalServer(respond) as server:
        answer = await call(tool(context, url=f"{server.url}/old", headers={"X-Key": "${secret:TOKEN}"}))

    assert answer.content["body"] == "here"
    assert [request.headers.get("x-key") for request in server.requests] == ["s3cr3t-value"] * 2


async def test_a_redirect_to_another_origin_gets_no_secret(context: BuildContext, echo: LocalServer) -> None:
    headers = {"X-Key": "${secret:TOKEN}", "Authorization": "Bearer ${secret:TOKEN}", "Cookie": "a=${secret:TOKEN}"}
    with redirects(302, f"{echo.url}/elsewhere") as server:
        answer = await call(tool(context, url=server.url, headers=headers))

    assert answer.content["status"] == 200
    assert "s3cr3t-value" not in str(echo.requests[0].headers)


async def test_a_body_is_not_taken_to_another_origin(context: BuildContext, echo: LocalServer) -> None:
    with redirects(307, f"{echo.url}/elsewhere") as server:
        answer = await call(tool(context, method="POST", url=server.url, body={"key": "${secret:TOKEN}"}))

    assert (answer.content["status"], answer.content["location"]) == (307, f"{echo.url}/elsewhere")
    assert echo.requests == []


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/", "http://127.0.0.2/", "http://[::1]/"])
async def test_a_redirect_to_a_private_address_is_refused(context: BuildContext, location: str) -> None:
    with redirects(302, location) as server:
        answer = await call(tool(context, url=server.url))

    assert answer.outcome == "failed"
    assert "may not reach" in answer.content


async def test_redirects_without_end_end(context: BuildContext) -> None:
    with redirects(302, "/again") as server:
        answer = await call(tool(context, url=server.url))

    assert answer.content == "more than 5 redirects"
    assert len(server.requests) == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:70/", "http://"])
async def test_a_redirect_to_another_protocol_fails(context: BuildContext, location: str) -> None:
    with redirects(302, location) as server:
        answer = await call(tool(context, url=server.url))

    assert answer.outcome == "failed"


# --- Addresses ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "10.0.0.1",
        "100.100.100.200",
        "192.168.1.1",
        "224.0.0.1",
    ],
)
async def test_a_private_host_is_refused(context: BuildContext, settings: Settings, host: str) -> None:
    settings.HECTOR_HTTP_ALLOW = []

    answer = await call(tool(context, url=f"http://{host}/"))

    assert answer.outcome == "failed"
    assert any(reason in answer.content for reason in ("may not reach", "cannot be resolved", "not valid"))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("0.0.0.0", False),
        ("192.0.0.192", False),
        ("168.63.129.16", False),
        ("198.18.0.1", False),
        ("203.0.113.1", False),
        ("239.1.1.1", False),
        ("255.255.255.255", False),
        ("::7f00:1", False),
        ("2001:0:7f00:1::", False),
        ("2001:db8::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
    ],
)
def test_only_public_addresses_are_public(address: str, public: bool) -> None:
    assert outbound.is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize("entry", ["localhost", "LOCALHOST.", "127.0.0.0/8", "127.0.0.1"])
async def test_an_operator_allows_hosts_addresses_and_networks(
    context: BuildContext, settings: Settings, echo: LocalServer, entry: str
) -> None:
    settings.HECTOR_HTTP_ALLOW = ["10.0.0.0/8", entry, *(["::1"] if entry[0] == "1" else [])]

    answer = await call(tool(context, url=f"http://localhost:{echo.port}/"))

    assert answer.content["status"] == 200


async def test_a_name_with_one_private_address_is_refused() -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    async with httpx2.AsyncClient(transport=GuardedTransport(resolver)) as client:
        with pytest.raises(AddressRefused):
            await client.get("http://half.example/")


async def test_a_name_that_answers_differently_the_second_time_gains_nothing(echo: LocalServer) -> None:
    """DNS rebinding: the connection goes to the address that was checked."""
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    with LocalServer(lambda request: Answer(b"stolen"), address="127.0.0.2", port=echo.port) as inside:

        async def resolver(host: str, port: int) -> list[str]:
            return [next(answers)]

        async with httpx2.AsyncClient(transport=GuardedTransport(resolver)) as client:
            first = await client.get(f"http://rebinding.example:{echo.port}/")
            with pytest.raises(AddressRefused):
                await client.get(f"http://rebinding.example:{echo.port}/")

    assert first.status_code == 200
    assert echo.requests[0].headers["host"] == f"rebinding.example:{echo.port}"
    assert inside.requests == []


async def test_the_next_address_is_tried_when_one_is_down(echo: LocalServer, settings: Settings) -> None:
    settings.HECTOR_HTTP_ALLOW = ["127.0.0.0/8"]

    async def resolver(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async with httpx2.AsyncClient(transport=GuardedTransport(resolver)) as client:
        response = await client.get(f"http://two.example:{echo.port}/")

    assert response.status_code == 200


@pytest.mark.parametrize(("name", "trusted"), [("secure.example", True), ("other.example", False)])
async def test_the_certificate_must_bear_the_name_and_not_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    certificate = self_signed(tmp_path, "secure.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(outbound, "_tls", outbound._tls.__wrapped__)  # read the variable anew
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)

    async def resolver(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with LocalServer(lambda request: Answer(b"hello"), tls=tls) as server:
        async with httpx2.AsyncClient(transport=GuardedTransport(resolver)) as client:
            if trusted:
                assert (await client.get(f"https://{name}:{server.port}/")).text == "hello"
            else:
                with pytest.raises(httpx2.ConnectError, match="certificate"):
                    await client.get(f"https://{name}:{server.port}/")


def self_signed(directory: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


# --- The document ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"url": "ftp://host/"},
        {"url": "host/path"},
        {"url": "http://{host}/", "parameters": {"host": TEXT}},
        {"url": "http://host{id}", "parameters": {"id": TEXT}},
        {"url": "http://host:{port}/", "parameters": {"port": TEXT}},
        {"url": "${env:BASE}{id}", "parameters": {"id": TEXT}},
        {"url": "http://user:pw@host/"},
        {"url": "http://host\\@evil/"},
        {"url": "http://host/{id}"},
        {"url": "http://host/", "parameters": {"id": TEXT}},
        {"url": "http://host/", "headers": {"Host": "other"}},
        {"url": "http://host/", "headers": {"A\nB": "x"}},
        {"url": "http://host/", "method": "CONNECT"},
    ],
)
def test_a_request_that_cannot_work_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpSpec.model_validate({"type": "http", **spec})


@pytest.mark.parametrize("url", ["${env:BASE}/{id}", "https://${secret:NAME}.example/{id}", "https://host?q={id}"])
def test_a_reference_may_stand_in_the_address(url: str) -> None:
    HttpSpec.model_validate({"type": "http", "url": url, "parameters": {"id": TEXT}})

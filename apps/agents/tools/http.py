"""`type: http`: one kind of request to one host, filled in by the model.

A `{name}` in the URL is percent-encoded and cannot change the host; in a header it is text without line breaks; in
`query` it is one value; in `body` (JSON) a string that is nothing but `{name}` becomes the value itself, of its type.
References to secrets belong in headers and are resolved for each call.

Every answer is a result that the model reads, whatever its status; so is a connection that fails. Private addresses
are out of reach (`apps.tenancy.outbound`). At most five redirects are followed. One that leads to another origin takes
none of the document's headers along, and is not followed if it would take a body.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import quote, urlsplit

import httpx2
from pydantic import Field, field_validator, model_validator

from apps.agents import registry
from apps.agents.tools.outcomes import CallFailed, Refused
from apps.agents.tools.parameters import Parameters, Template
from apps.tenancy.outbound import AddressRefused, GuardedTransport

if TYPE_CHECKING:
    from pydantic_ai.toolsets import AbstractToolset

MAX_REDIRECTS: Final = 5
CONNECT_TIMEOUT: Final = 10.0
DEFAULT_TIMEOUT: Final = 60.0
LARGEST_ANSWER: Final = 1024 * 1024
_ORIGIN: Final = re.compile(r"(?:https?://(?:\$\{\w+:\w+\}|[^/?#\s@{}\\])+|\$\{\w+:\w+\})(?=[/?#]|$)")
_TEXT: Final = re.compile(r"text/|[/+](?:json|xml|yaml|javascript|x-www-form-urlencoded|x-ndjson|csv)\b", re.IGNORECASE)
_OURS: Final = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}


class HttpSpec(registry.ToolSpec):
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "GET"
    url: str
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    body: Any = None
    parameters: dict[str, dict[str, Any]] = {}
    max_bytes: int = Field(default=64 * 1024, ge=1, le=LARGEST_ANSWER)  # of the answer; the rest is left out

    @field_validator("headers")
    @classmethod
    def _may_be_set(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.lower() in _OURS or not re.fullmatch(r"[!#$%&'*+.^`|~\w-]+", name, re.ASCII):
                raise ValueError(f"the header {name!r} cannot be set")
        return headers

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        Parameters(self.parameters)
        url = Template.parse(self.url)
        origin = _ORIGIN.match(self.url)
        if origin is None or (url.names and origin.end() >= len(url.literals[0])):
            raise ValueError("write an address like https://host/path/{parameter}; the host cannot be a parameter")
        used = set(url.names) | {name for text in self._texts() for name in Template.parse(text).names}
        if unknown := used - self.parameters.keys():
            raise ValueError(f"{{{min(unknown)}}} is no parameter (for the text itself write {{{{{min(unknown)}}}}})")
        if unused := self.parameters.keys() - used:
            raise ValueError(f"the request does not use the parameter {min(unused)}")
        return self

    def _texts(self) -> list[str]:
        return [*self.headers.values(), *self.query.values(), *_strings(self.body)]


class Http:
    """The calls of one http tool."""

    def __init__(self, spec: HttpSpec, context: registry.BuildContext) -> None:
        self._spec = spec
        self._resolve = context.resolve
        self._url = Template.parse(spec.url)

    async def run(self, arguments: dict[str, Any]) -> dict[str, Any]:
        request = self._request(arguments)
        # A `timeout` of the tool is kept by whoever calls it.
        seconds = None if self._spec.timeout else DEFAULT_TIMEOUT
        try:
            async with asyncio.timeout(seconds), _client() as client:
                return await self._answer(client, request)
        except AddressRefused as error:
            raise CallFailed(str(error)) from error
        except TimeoutError as error:
            raise CallFailed(f"{request.url.host} did not answer within {seconds} s; it may have got it") from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise CallFailed(f"{request.url.host} cannot be reached: {_reason(error)}") from error
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise CallFailed(
                f"the request to {request.url.host} failed: {_reason(error)}; it may have got there"
            ) from error

    def _request(self, arguments: dict[str, Any]) -> httpx2.Request:
        spec = self._spec
        headers = {
            name: _header(name, Template.parse(text).fill(arguments, resolve=self._resolve))
            for name, text in spec.headers.items()
        }
        query = {name: Template.parse(text).fill(arguments, resolve=self._resolve) for name, text in spec.query.items()}
        body = _filled(spec.body, arguments, self._resolve)
        content: dict[str, Any] = {}
        if isinstance(body, str):
            content = {"content": body.encode()}
        elif body is not None:
            content = {"json": body}
        try:
            url = httpx2.URL(self._address(arguments)).copy_merge_params(query)
        except httpx2.InvalidURL as error:
            raise CallFailed("with these values the address is not valid") from error
        return httpx2.Request(spec.method, url, headers={"Accept-Encoding": "identity"} | headers, **content)

    def _address(self, arguments: dict[str, Any]) -> str:
        address = self._url.fill(arguments, encode=lambda text: quote(text, safe=""), resolve=self._resolve)
        if self._url.names and {".", ".."} & set(urlsplit(address).path.split("/")):
            raise Refused("a part of the address cannot be . or ..")
        return address

    async def _answer(self, client: httpx2.AsyncClient, request: httpx2.Request) -> dict[str, Any]:
        for _ in range(MAX_REDIRECTS + 1):
            response = await client.send(request, stream=True)
            try:
                following = self._redirected(request, response)
                if following is None:
                    return await self._result(response)
            finally:
                await response.aclose()
            request = following
        raise CallFailed(f"more than {MAX_REDIRECTS} redirects")

    def _redirected(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Request | None:
        following = response.next_request
        if following is None or _origin(following.url) == _origin(request.url):
            return following
        if following.headers.get("content-length", "0") != "0":
            return None
        for name in self._spec.headers:
            following.headers.pop(name, None)
        return following

    async def _result(self, response: httpx2.Response) -> dict[str, Any]:
        content_type = response.headers.get("content-type", "")
        result: dict[str, Any] = {"status": response.status_code, "content_type": content_type}
        if location := response.headers.get("location"):
            result["location"] = location
        if response.headers.get("content-encoding", "identity") != "identity":
            return result | {"note": f"the body is compressed ({response.headers['content-encoding']}) and left out"}
        body, whole = await self._body(response)
        if content_type and not _TEXT.search(content_type):
            return result | {"note": f"the body is not text and left out ({len(body)}{'' if whole else '+'} bytes)"}
        result["body"] = _decoded(body, response.charset_encoding)
        return result if whole else result | {"note": f"only the first {len(body)} bytes of the body"}

    async def _body(self, response: httpx2.Response) -> tuple[bytes, bool]:
        """The body as far as it is read, and whether that is all."""
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._spec.max_bytes:
                return bytes(body[: self._spec.max_bytes]), False
        return bytes(body), True


def _client() -> httpx2.AsyncClient:
    timeout = httpx2.Timeout(None, connect=CONNECT_TIMEOUT)
    return httpx2.AsyncClient(transport=GuardedTransport(), timeout=timeout, trust_env=False)


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _header(name: str, value: str) -> str:
    if re.search(r"[\r\n\0]", value) or not value.isascii():
        raise Refused(f"the header {name} can hold only ASCII text in one line")
    return value


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _decoded(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", errors="replace")
    except LookupError:  # a charset that Python does not know
        return body.decode(errors="replace")


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return []


def _filled(template: Any, arguments: dict[str, Any], resolve: Any) -> Any:
    if isinstance(template, str):
        parsed = Template.parse(template)
        if parsed.is_one_placeholder:
            return arguments[parsed.names[0]]
        return parsed.fill(arguments, resolve=resolve)
    if isinstance(template, Mapping):
        return {key: _filled(value, arguments, resolve) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, arguments, resolve) for value in template]
    return template


def build(name: str, spec: HttpSpec, context: registry.BuildContext) -> AbstractToolset[Any]:
    from apps.agents.tools.toolset import OneTool

    described = f"Sends {spec.method} {spec.url.partition('?')[0]}."
    return OneTool(name, spec, Parameters(spec.parameters), Http(spec, context).run, description=described)


def register() -> None:
    registry.register_tool_type(registry.ToolType("http", HttpSpec, build))

"""An HTTP transport that reaches only addresses that Apps may reach.

A host's name is resolved once; every address it has must be public, or allowed by `HECTOR_HTTP_ALLOW` (names of hosts,
addresses or networks). The connection then goes to one of the addresses that were checked, so a name that answers
differently the second time gains nothing; `Host` and TLS still speak of the name. Each redirect is a request of its
own and checked like the first. Connections are not kept: one that was made for a name must not serve another that
shares its address. Proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import httpx2
from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]

_IPV6_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments; a cloud's metadata
            "192.88.99.0/24",  # 6to4 relays
            "168.63.129.16/32",  # Azure's platform channel
            "2001::/23",  # protocol assignments, Teredo
            "2001:db8::/32",  # documentation
            "3fff::/20",
        ),
    )
)


class AddressRefused(httpx2.RequestError):
    """The host is, or resolves to, an address that Apps may not reach."""


async def system_resolver(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could mean this address; one that embeds another is as public as that."""
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is not None:
            return is_public(embedded)
        if address not in _IPV6_GLOBAL:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _NOT_PUBLIC)
    )


def _is_allowed(host: str, address: Address) -> bool:
    for entry in settings.HECTOR_HTTP_ALLOW:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            if entry.rstrip(".").lower() == host.rstrip(".").lower():
                return True
        else:
            if address in network:
                return True
    return False


class GuardedTransport(httpx2.AsyncBaseTransport):
    def __init__(self, resolver: Resolver = system_resolver) -> None:
        self._resolver = resolver
        self._connections = httpx2.AsyncHTTPTransport(
            verify=_tls(), trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        addresses = await self._checked(request)
        for address in addresses[:-1]:
            try:
                return await self._send(request, address)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # nothing was sent yet
        return await self._send(request, addresses[-1])

    async def _checked(self, request: httpx2.Request) -> list[str]:
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            found = await self._resolver(host, port)
        except OSError as error:
            raise httpx2.ConnectError(f"{host} cannot be resolved", request=request) from error
        if not found:
            raise httpx2.ConnectError(f"{host} has no address", request=request)
        for text in found:
            address = ipaddress.ip_address(text.partition("%")[0])
            if not (is_public(address) or _is_allowed(host, address)):
                raise AddressRefused(
                    f"{host} is at {address}, which Apps may not reach; an operator allows it with HECTOR_HTTP_ALLOW",
                    request=request,
                )
        return found

    async def _send(self, request: httpx2.Request, address: str) -> httpx2.Response:
        extensions = dict(request.extensions)
        if request.url.scheme == "https":
            extensions["sni_hostname"] = request.url.host  # and the name that the certificate must bear
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions=extensions,
        )
        return await self._connections.handle_async_request(pinned)

    async def aclose(self) -> None:
        await self._connections.aclose()


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all: reading the certificates takes longer than a request."""
    return httpx2.create_ssl_context()

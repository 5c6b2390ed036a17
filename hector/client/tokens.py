"""Tokens for people, and what verifies and describes them."""

from __future__ import annotations

from typing import Any, TypeVar

from hector.client.calls import Call, Group, Record, given, operation
from hector.client.connection import Async, Sync

C = TypeVar("C", Sync, Async)
Document = dict[str, Any]


class TokenPair(Record):
    """`access` is for requests; `refresh` gets the next pair, once."""

    access: str
    refresh: str


class Tokens(Group[C]):
    @operation("log_in")
    def log_in(
        self, username: str, password: str, *, code: str | None = None, app: str | None = None
    ) -> Call[TokenPair]:
        """A person's tokens. `code`: of the second factor, if there is one."""
        body = given(username=username, password=password, code=code, app=app)
        return Call(TokenPair, "POST", "/auth/token", body=body)

    @operation("refresh_token")
    def refresh(self, refresh: str) -> Call[TokenPair]:
        return Call(TokenPair, "POST", "/auth/token/refresh", body=given(refresh=refresh))

    @operation("revoke_token")
    def revoke(self, token: str) -> Call[None]:
        """Ends the login that the token is of."""
        return Call(type(None), "POST", "/auth/token/revoke", body=given(token=token))

    @operation("jwks")
    def keys(self) -> Call[Document]:
        """The public keys, as a JWK set."""
        return Call(Document, "GET", "/.well-known/jwks.json")

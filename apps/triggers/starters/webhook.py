"""`type: webhook`: work that requests of other programs start, at `/webhooks/APP/PATH` (`apps.triggers.webhooks`)."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from apps.agents.registry import Duration, TriggerSpec
from apps.triggers.channels.http import Address
from apps.triggers.starters import base
from apps.triggers.starters.base import TriggerType
from apps.triggers.webhooks.signatures import FORMS, TOLERANCE, Encoding, Form, Generic, Hash

LONGEST_WAIT = 120.0  # seconds of an answer that waits
_OF_GENERIC = ("header", "hash", "encoding", "prefix", "timestamp_header")
NAME = "webhook"
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*\}))+")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")


def _is_path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError("write a path such as /github or /orders/{id}: letters, digits and -._~ between slashes")
    names = re.findall(r"\{(\w+)\}", text)
    if len(names) != len(set(names)):
        raise ValueError("each name in braces stands once in a path")
    return text


def _is_header(text: str) -> str:
    if text and not _HEADER.fullmatch(text):
        raise ValueError("write the name of a header: letters, digits and -")
    return text


def _is_no_repetition(methods: list[str]) -> list[str]:
    if len(methods) != len(set(methods)):
        raise ValueError("each method stands once")
    return methods


Header = Annotated[str, AfterValidator(_is_header)]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class WebhookSpec(TriggerSpec):
    """A request of another program starts it."""

    references: ClassVar[frozenset[str]] = frozenset({"secret", "callback_url", "callback_secret"})

    type: Literal["webhook"]
    """A request to `/webhooks/APP/PATH`."""
    path: Annotated[str, Field(max_length=200), AfterValidator(_is_path)]
    """What follows `/webhooks/APP`: `/github`, or `/orders/{id}`, whose `id` templates have as `path.id`."""
    methods: Annotated[list[Method], Field(min_length=1), AfterValidator(_is_no_repetition)] = ["POST"]
    """The methods that it takes."""
    public: bool = False
    """True, in the place of a secret: everybody who knows the address can start it."""
    secret: str = ""
    """The key that requests are signed with, as `${secret:NAME}`; while it is being changed, several, one on a line."""
    signature: Literal["github", "stripe", "slack", "standard-webhooks", "generic"] = "standard-webhooks"
    """How requests are signed."""
    header: Header = ""
    """With `generic`: the header with the signature."""
    hash: Hash = "sha256"
    """With `generic`: the hash of the HMAC."""
    encoding: Encoding = "hex"
    """With `generic`: how the signature is written."""
    prefix: Annotated[str, Field(max_length=50)] = ""
    """With `generic`: what stands before the signature in its header, such as `sha256=`."""
    timestamp_header: Header = ""
    """With `generic`: the header with the second of signing; then `SECOND.BODY` is signed, else the body alone."""
    tolerance: Duration = TOLERANCE
    """How far from now a request may have been signed, where its signature says when."""
    unique_by: Header = ""
    """What tells a delivery from others: the header with its id, or `signature`. Left out, as the sender has it."""
    challenge: Annotated[str, Field(max_length=100)] = ""
    """The parameter of the address whose value is the answer, as some senders ask before they send anything."""
    challenge_token: Annotated[str, Field(max_length=100)] = ""
    """The parameter that has to hold the secret for that."""
    answer: Literal["async", "sync", "callback"] = "async"
    """What the sender gets: the task's id at once, the result when it is there, or the id at once and the result
    later, at `callback_url`."""
    timeout: Annotated[Duration, Field(le=LONGEST_WAIT)] = 30.0
    """With `answer: sync`: the longest wait for the result."""
    callback_url: Address | None = None
    """With `answer: callback`: where results are posted."""
    callback_secret: str = ""
    """The key that signs them, as `${secret:NAME}`: `whsec_` and base64."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.public == bool(self.secret):
            raise ValueError("write a `secret` that requests are signed with, or `public: true`, and not both")
        if self.signature == "generic" and not self.header:
            raise ValueError("`signature: generic` needs the `header` that holds the signature")
        for name in _OF_GENERIC if self.signature != "generic" else ():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` is only for `signature: generic`")
        if self.challenge_token and not (self.challenge and self.secret):
            raise ValueError("`challenge_token` needs a `challenge` and a `secret`")
        if (self.answer == "callback") != bool(self.callback_url and self.callback_secret):
            raise ValueError("`answer: callback` needs `callback_url` and `callback_secret`; nothing else takes them")
        return self

    @property
    def form(self) -> Form | None:
        """None: requests are not signed."""
        if self.public:
            return None
        if self.signature != "generic":
            return FORMS[self.signature]
        return Generic(self.header, self.hash, self.encoding, self.prefix, self.timestamp_header)


class WebhookTrigger(TriggerType):
    name, spec = NAME, WebhookSpec
    variables = frozenset({"body", "headers", "query", "path", "method"})


def register() -> None:
    base.register(WebhookTrigger())


def overlaps(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a request may be meant for either of two triggers, as the document says them."""
    return _shape(one) == _shape(other) and bool(_methods(one) & _methods(other))


def _shape(trigger: dict[str, Any]) -> str:
    return re.sub(r"\{[^{}]*\}", "{}", str(trigger.get("path")))


def _methods(trigger: dict[str, Any]) -> set[str]:
    methods = trigger.get("methods", ["POST"])
    return {method for method in methods if isinstance(method, str)} if isinstance(methods, list) else set()

"""Limits on the way of HTTP: requests are counted, and what is over a limit is answered with 429.

The headers are those of the IETF's draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` names the limits, with the
quota `q` and the window `w` in seconds; `RateLimit` says of each what remains, `r`, and for how many seconds, `t`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.http import HttpResponse

from apps.accounts.permissions import Caller
from apps.quotas import counting
from apps.quotas.counting import OverLimit, Standing
from apps.quotas.models import Use
from apps.quotas.rules import amount, applying
from apps.tenancy.http.problems import declare_translator
from apps.tenancy.models import App
from hector_site.problems import problem

_ONE = {"": 1}  # by agent: none


def count_request(app: App, caller: Caller) -> Mapping[str, str]:
    """Raises OverLimit. A platform operator's requests are none of the App's."""
    if caller.is_platform_operator:
        return {}
    rules = applying(app, caller.actor)
    return headers(counting.take(rules, Use.Resource.REQUESTS, _ONE, caller=caller.actor)) if rules else {}


def headers(standings: Sequence[Standing]) -> dict[str, str]:
    if not standings:
        return {}
    policies = [f"{_name(one)};q={_whole(one, one.allowed)};w={one.rule.seconds}" for one in standings]
    left = [f"{_name(one)};r={_whole(one, one.left)};t={one.ends_in}" for one in standings]
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


def _name(standing: Standing) -> str:
    rule = standing.rule
    return f'"{"token" if rule.name else "app"}-{rule.resource.replace("_", "-")}-{rule.window}"'


def _whole(standing: Standing, units: int) -> int:
    """Structured fields hold whole numbers here."""
    return int(amount(standing.rule.resource, units))


def _over_limit(error: OverLimit) -> HttpResponse:
    told = {"Retry-After": str(error.standing.ends_in), **headers([error.standing])}
    text = str(error)
    return problem(429, f"{text[0].upper()}{text[1:]}.", code=error.code, headers=told)


declare_translator(OverLimit, _over_limit)

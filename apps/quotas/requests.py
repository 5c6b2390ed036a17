"""Requests to an App's API are counted, and told how many are left.

The headers are those of the IETF's draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` names the limits, with the
quota `q` and the window `w` in seconds; `RateLimit` says of each what remains, `r`, and for how many seconds, `t`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apps.accounts.permissions import Caller
from apps.quotas import counting
from apps.quotas.counting import Standing
from apps.quotas.models import Use
from apps.quotas.rules import amount, applying
from apps.tenancy.models import App

_ONE = {"": 1}  # by agent: none


def count(app: App, caller: Caller) -> Mapping[str, str]:
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

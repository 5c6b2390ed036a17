"""`/limits`: what the App and the token may use, and what they have used; and how limits are written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.quotas import counting, requests, rules
from apps.quotas.counting import OverLimit, Standing
from apps.quotas.models import Use
from apps.quotas.rules import ON_BREACH, WAIT
from apps.tenancy.http.fields import Body, Number, Period, WholeNumber
from apps.tenancy.http.problems import declare_translator
from apps.tenancy.http.views import AppView
from hector_site.problems import problem

_MOST = 10**15
_MOST_MONEY = 10**9  # dollars; sums are kept in units of 10^-9
_YEAR = 366 * 86400
_SEVERAL = 10  # limits of one resource


def _over_limit(error: OverLimit) -> HttpResponse:
    told = {"Retry-After": str(error.standing.ends_in), **requests.headers([error.standing])}
    text = str(error)
    return problem(429, f"{text[0].upper()}{text[1:]}.", code=error.code, headers=told)


declare_translator(OverLimit, _over_limit)


@extend_schema_field({"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]})
class Window(Period):
    """The length of a window: whole seconds, at most a year."""

    def to_internal_value(self, data: Any) -> int:
        seconds = super().to_internal_value(data)
        if seconds % 1 or not 1 <= seconds <= _YEAR:
            raise ValidationError("Must be whole seconds, at most a year.")
        return int(seconds)


@extend_schema_serializer(component_name="Limit")
class LimitBody(Body):
    limit = WholeNumber(min_value=1, max_value=_MOST)
    window = Window(help_text="As in 1m, 1h or 1d, which begins at midnight UTC.")


_WORDS = "When it is used up: `wait` for the next window, `ask` people, or `fail`."


@extend_schema_serializer(component_name="TokenBudget")
class TokensBody(LimitBody):
    on_breach = serializers.ChoiceField(choices=ON_BREACH, required=False, default=WAIT, help_text=_WORDS)


@extend_schema_serializer(component_name="MoneyBudget")
class MoneyBody(TokensBody):
    limit = Number(min_value=0.000001, max_value=_MOST_MONEY)  # type: ignore[assignment]  # not of whole dollars


class OfOneResource(serializers.ListField):
    def __init__(self, child: Body, **options: Any) -> None:
        super().__init__(child=child, required=False, allow_null=True, max_length=_SEVERAL, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        found = super().to_internal_value(data)
        if len({one["window"] for one in found}) < len(found):
            raise ValidationError("Two limits have the same window.")
        return [dict(one) for one in found]


@extend_schema_serializer(component_name="Limits")
class LimitsBody(Body):
    """A resource that is left out stays as it is; null, or an empty list, ends its limits."""

    requests = OfOneResource(LimitBody(), help_text="To the API; a platform operator's do not count.")
    tasks = OfOneResource(LimitBody(), help_text="That are accepted.")
    tokens = OfOneResource(TokensBody(), help_text="Of models, in and out.")
    cost_usd = OfOneResource(MoneyBody(), help_text="Of models, in US dollars.")


class BadLimits(ValueError):
    """By resource, what is wrong with the text that its limits were written in."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{resource}: {fault}" for resource, fault in faults.items()))
        self.faults = faults


def from_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    """Limits as people write them (`100/1m, 5000/1d`), by resource; empty: none. Raises BadLimits with every fault."""
    found: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for resource, text in texts.items():
        try:
            found |= LimitsBody().run_validation({resource: rules.from_text(text)})
        except ValidationError as error:
            faults[resource] = _first(error.detail)
        except ValueError as error:
            faults[resource] = str(error)
    if faults:
        raise BadLimits(faults)
    return found


def _first(detail: Any) -> str:
    while not isinstance(detail, str):
        detail = next(filter(None, detail.values() if isinstance(detail, dict) else detail))
    return str(detail)


@extend_schema_serializer(component_name="LimitUse")
class StandingOut(serializers.Serializer[Standing]):
    of = serializers.ChoiceField(choices=["app", "token"])
    resource = serializers.ChoiceField(choices=Use.Resource.values)
    window = serializers.CharField()
    limit = serializers.FloatField()
    raised = serializers.FloatField(help_text="By so much people have raised it, in this window only.")
    used = serializers.FloatField(help_text="Of a budget it may be more than the limit: what was under way is paid.")
    remaining = serializers.FloatField()
    resets_at = serializers.DateTimeField(help_text="When the next window begins.")
    on_breach = serializers.ChoiceField(choices=ON_BREACH, allow_null=True, help_text="Of a budget.")

    def to_representation(self, standing: Standing) -> dict[str, Any]:
        rule = standing.rule
        numbers = {
            "limit": rule.limit,
            "raised": standing.allowed - rule.limit,
            "used": standing.used,
            "remaining": standing.left,
        }
        return {
            "of": "token" if rule.kind == Use.Kind.CALLER else "app",
            "resource": rule.resource.value,
            "window": rule.window,
            **{name: rules.amount(rule.resource, units) for name, units in numbers.items()},
            "resets_at": standing.ends_at.isoformat(),
            "on_breach": rule.on_breach or None,
        }


@extend_schema_serializer(component_name="LimitUses")
class StandingsOut(serializers.Serializer[Any]):
    limits = StandingOut(many=True)


class LimitsView(AppView):
    @extend_schema(
        operation_id="list_limits",
        summary="What the App and the token may use in the present windows, and have used",
        responses=StandingsOut,
    )
    def get(self, request: Request) -> Response:
        found = rules.applying(self.app, self.caller.actor)
        return Response({"limits": [StandingOut(standing).data for standing in counting.standings(found)]})


urlpatterns = [path("limits", LimitsView.as_view(), name="limits")]

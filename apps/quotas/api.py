"""`/limits`: what the App and the token may use, and what they have used; and how limits are written down."""

from __future__ import annotations

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.quotas import counting, rules
from apps.quotas.counting import Standing
from apps.quotas.models import Use
from apps.quotas.rules import ON_BREACH, WAIT
from apps.tenancy.http.fields import Body, Number, Period, WholeNumber
from apps.tenancy.http.views import AppView

_MOST = 10**15
_MOST_MONEY = 10**9  # dollars; sums are kept in units of 10^-9
_YEAR = 366 * 86400
_SEVERAL = 10  # limits of one resource


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

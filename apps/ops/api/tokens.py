"""Tokens: of people, for their passwords (`/auth/token`); of Apps, from the operator (`/admin/apps/{name}/token`)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import login, signing
from apps.accounts.permissions import Role
from apps.quotas import rules
from apps.quotas.api import LimitsBody
from apps.tenancy import lifecycle, tokens
from apps.tenancy.http.fields import TEN_YEARS, Body, OptionalText, Text, WholeNumber
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_ID, PageQuery, page
from apps.tenancy.http.problems import declare, declare_translator
from apps.tenancy.http.views import ApiView, OpenView
from apps.tenancy.models import Credential
from hector_site.problems import problem

declare(tokens.NoSuchToken, 404)
declare(tokens.NotAMember, 403)
declare(tokens.AppNotNamed, 400, pointer="/app")
declare_translator(
    login.TooManyTries,
    lambda error: problem(429, str(error), code=error.code, headers={"Retry-After": str(error.seconds)}),
)

_LONGEST_TOKEN = 16 * 1024
_NEVER_KEPT = {"Cache-Control": "no-store"}


@extend_schema_serializer(component_name="TokenRequest")
class TokenBody(Body):
    role = serializers.ChoiceField(choices=[role.value for role in Role], required=False, default="admin")
    expires_in = WholeNumber(min_value=1, max_value=TEN_YEARS, required=False, help_text="Seconds; a year if left out.")
    note = OptionalText(max_length=200, help_text="What it is for; shown in the list.")
    sees_payloads = serializers.BooleanField(
        required=False, default=False, help_text="Of a `viewer`: whether it reads what tasks were given and gave."
    )
    limits = LimitsBody(required=False, help_text="Of this token, within those of its App.")


@extend_schema_serializer(component_name="Token")
class TokenOut(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    role = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")


@extend_schema_serializer(component_name="IssuedToken")
class IssuedTokenOut(serializers.ModelSerializer[Credential]):
    id = serializers.CharField(source="key", help_text="The token's `jti`.")
    limits = serializers.SerializerMethodField(help_text="Only resources that have any.")

    class Meta:
        model = Credential
        fields = [
            "id", "role", "sees_payloads", "note", "limits", "created_by", "created_at", "expires_at", "revoked_at",
            "revoked_by",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(LimitsBody)
    def get_limits(self, credential: Credential) -> dict[str, Any]:
        return rules.as_json(credential.limits)


@extend_schema_serializer(component_name="Login")
class LoginBody(Body):
    username = Text(max_length=150)
    password = Text(max_length=4096)
    code = OptionalText(max_length=10, help_text="Of who has a second factor.")
    app = Text(
        max_length=100, required=False, help_text="May be left out by who belongs to one, and by a platform operator."
    )


@extend_schema_serializer(component_name="RefreshRequest")
class RefreshBody(Body):
    refresh = Text(max_length=_LONGEST_TOKEN)


@extend_schema_serializer(component_name="RevokeRequest")
class RevokeBody(Body):
    token = Text(max_length=_LONGEST_TOKEN)


@extend_schema_serializer(component_name="TokenPair")
class PairOut(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="Good for 15 minutes.")
    refresh = serializers.CharField(help_text="Good once, for 7 days.")


class LogIn(OpenView):
    @extend_schema(
        operation_id="log_in", summary="Tokens for a name and a password", request=LoginBody, responses=PairOut, auth=[]
    )
    def post(self, request: Request) -> Response:
        body = self.body(LoginBody)
        try:
            user = login.check(request._request, body["username"], body["password"], body["code"])
        except (login.WrongCredentials, login.CodeNeeded) as error:
            raise AuthenticationFailed(str(error)) from None
        return _pair(tokens.log_in(user, body.get("app")))


class Refresh(OpenView):
    @extend_schema(
        operation_id="refresh_token",
        summary="The next tokens of a login",
        description="A refresh token is good once. One that is used again ends the login.",
        request=RefreshBody,
        responses=PairOut,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        try:
            return _pair(tokens.refresh(self.body(RefreshBody)["refresh"]))
        except signing.InvalidToken:
            raise AuthenticationFailed("The refresh token is not valid any more; log in again.") from None


class Revoke(OpenView):
    @extend_schema(
        operation_id="revoke_token",
        summary="Make a token, and all others of the same login, worthless",
        request=RevokeBody,
        responses={204: None},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        tokens.revoke(self.body(RevokeBody)["token"])
        return Response(status=204)


class Jwks(OpenView):
    @extend_schema(
        operation_id="jwks",
        summary="The public keys of the tokens that are issued here (RFC 7517)",
        responses={200: {"type": "object", "additionalProperties": True}},
        auth=[],
    )
    def get(self, request: Request) -> Response:
        return Response(signing.jwks(), headers={"Cache-Control": "public, max-age=60"})


class AppToken(ApiView):
    @extend_schema(
        operation_id="issue_app_token", summary="A new token of the App", request=TokenBody, responses={201: TokenOut}
    )
    def post(self, request: Request, name: str) -> Response:
        app = lifecycle.get(name)
        body = self.body(TokenBody)
        lifetime = timedelta(seconds=body.pop("expires_in", tokens.LIFETIME.total_seconds()))
        body["limits"] = rules.changed({}, body.get("limits", {}))
        answer = {
            "access_token": tokens.issue_app_token(app.name, expires_in=lifetime, by=self.caller.actor, **body),
            "token_type": "bearer",
            "role": body["role"],
            "expires_in": round(lifetime.total_seconds()),
        }
        return Response(answer, status=201, headers=_NEVER_KEPT)


class AppTokens(ApiView):
    @extend_schema(
        operation_id="list_app_tokens",
        summary="The tokens of the App, without the tokens themselves",
        parameters=[PageQuery],
        responses=listed(IssuedTokenOut),
    )
    def get(self, request: Request, name: str) -> Response:
        rows = Credential.objects.filter(app=lifecycle.get(name), user=None)
        return page(request, rows, BY_ID, self.query(PageQuery)).answer(IssuedTokenOut)


class OneAppToken(ApiView):
    @extend_schema(operation_id="revoke_app_token", summary="Revoke a token of the App", responses={204: None})
    def delete(self, request: Request, name: str, key: str) -> Response:
        tokens.revoke_app_token(lifecycle.get(name).name, key, by=self.caller.actor)
        return Response(status=204)


def _pair(pair: tokens.Pair) -> Response:
    return Response({"access": pair.access, "refresh": pair.refresh}, headers=_NEVER_KEPT)

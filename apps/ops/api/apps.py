"""`/admin/apps`: Apps and their secrets."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.config.faults import ConfigInvalid
from apps.agents.provision import create_app
from apps.ops.api.config import refused
from apps.ops.api.serializers import (
    AppOut,
    AppPatchBody,
    DeletedAppOut,
    NewAppBody,
    NewAppOut,
    SecretBody,
    SecretOut,
)
from apps.queue import deletion, holds, suspension
from apps.tasks import budgets
from apps.tenancy import lifecycle, secrets, tokens
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_ID, Order, PageQuery, page
from apps.tenancy.http.views import ApiView
from apps.tenancy.models import App, Secret

_BY_NAME = Order("name", str, newest_first=False)


class Apps(ApiView):
    @extend_schema(
        operation_id="list_apps", summary="Apps, the newest first", parameters=[PageQuery], responses=listed(AppOut)
    )
    def get(self, request: Request) -> Response:
        shown = page(request, App.objects.all(), BY_ID, self.query(PageQuery))
        return shown.answer(AppOut)

    @extend_schema(
        operation_id="create_app",
        summary="Create an App",
        description="With its configuration, if one is given. If anything is wrong, nothing is created.",
        request=NewAppBody,
        responses={201: NewAppOut},
    )
    def post(self, request: Request) -> HttpResponse:
        body = self.body(NewAppBody)
        try:
            app = create_app(**body, by=self.caller.actor)
        except ConfigInvalid as error:
            return refused(error, "/config")
        token = tokens.issue_app_token(app.name, by=self.caller.actor, note="Made with the App")
        answer = {"app": app, "access_token": token, "token_type": "bearer"}
        return Response(NewAppOut(answer).data, status=201, headers={"Location": f"/admin/apps/{app.name}"})


class OneApp(ApiView):
    @extend_schema(operation_id="get_app", summary="An App", responses=AppOut)
    def get(self, request: Request, name: str) -> Response:
        return Response(AppOut(lifecycle.find(name)).data)

    @extend_schema(
        operation_id="change_app",
        summary="Change an App's settings; suspend and resume it",
        description="Of a suspended App nothing is started, and its API answers 403. What runs goes on to its end; "
        "what waits goes on when the App is active again.",
        request=AppPatchBody,
        responses=AppOut,
    )
    def patch(self, request: Request, name: str) -> Response:
        app = lifecycle.get(name)
        changes = self.body(AppPatchBody)
        status, reason = changes.pop("status", None), changes.pop("reason")
        if (asked := changes.get("retention")) is not None:
            own = {**app.retention, **asked}
            changes["retention"] = {name: value for name, value in own.items() if value is not None}
        by, limits = self.caller.actor, changes.pop("limits", None)
        app = lifecycle.change(app, by=by, reason=reason, **changes)
        if limits is not None:
            app = budgets.set_limits(app, limits, by=by, reason=reason)
        if "max_concurrent" in changes:
            holds.unpark(app.pk)  # as many as fit now
        if status is not None:
            verb = suspension.suspend if status == App.Status.SUSPENDED else suspension.resume
            verb(app, by=by, reason=reason)
        return Response(AppOut(app).data)

    @extend_schema(
        operation_id="delete_app",
        summary="Delete an App with all that is in it",
        description="What runs is stopped first, for which it has the grace time; until then the status is `deleting`. "
        "Then there is no such App, and its name is free again.",
        responses={202: DeletedAppOut},
    )
    def delete(self, request: Request, name: str) -> Response:
        gone = deletion.delete(lifecycle.get(name), by=self.caller.actor)
        return Response(DeletedAppOut({"name": name, "status": "deleted" if gone else "deleting"}).data, status=202)


class AppSecrets(ApiView):
    @extend_schema(
        operation_id="list_secrets",
        summary="The names of the App's secrets",
        parameters=[PageQuery],
        responses=listed(SecretOut),
    )
    def get(self, request: Request, name: str) -> Response:
        rows = Secret.objects.filter(app=lifecycle.get(name)).defer("ciphertext")
        shown = page(request, rows, _BY_NAME, self.query(PageQuery))
        return shown.answer(SecretOut)


class AppSecret(ApiView):
    @extend_schema(
        operation_id="put_secret", summary="Set or replace a secret", request=SecretBody, responses={204: None}
    )
    def put(self, request: Request, name: str, key: str) -> Response:
        app = lifecycle.get(name)
        secrets.put(app, key, self.body(SecretBody)["value"], by=self.caller.actor)
        return Response(status=204)

    @extend_schema(operation_id="delete_secret", summary="Delete a secret", responses={204: None})
    def delete(self, request: Request, name: str, key: str) -> Response:
        if not secrets.delete(lifecycle.get(name), key, by=self.caller.actor):
            raise NotFound(f"The App has no secret {key}.")
        return Response(status=204)

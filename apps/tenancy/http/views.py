"""The views' common ground."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import Any

from django.http import HttpResponseBase
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.permissions import Caller, Need, may, need
from apps.tenancy import payloads
from apps.tenancy.admissions import admissions
from apps.tenancy.context import in_app
from apps.tenancy.http.authentication import BearerAuthentication, app_of
from apps.tenancy.http.fields import Body, ReasonBody
from apps.tenancy.models import App


class ByTable(BasePermission):
    """Asks the one table (`apps.accounts.permissions`); what is not in it is refused."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        match = request.resolver_match
        if match is None or request.method is None or request.method not in view.allowed_methods:
            return True  # a 405, which is no secret
        wanted = need(match.view_name, request.method)
        return wanted == Need.NOBODY or (wanted is not None and may(caller_of(request), wanted))


class ApiView(APIView):
    authentication_classes = [BearerAuthentication]
    permission_classes = [ByTable]
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    metadata_class = None

    def perform_authentication(self, request: Request) -> None:
        if not isinstance(request.user, Caller):
            self.permission_denied(request)  # which is a 401, there being a way to authenticate

    def body(self, serializer: type[Body]) -> dict[str, Any]:
        """The checked body. Raises ValidationError with every fault."""
        return _checked(serializer, self.request.data)

    def query(self, serializer: type[Body]) -> dict[str, Any]:
        """The checked parameters of the URL. Raises ValidationError with every fault."""
        return _checked(serializer, self.request.query_params)

    def who_and_why(self) -> dict[str, str]:
        """What every operator verb is told, `by` and `reason`, of a request whose body has nothing but a reason."""
        return {"by": self.caller.actor, "reason": self.body(ReasonBody)["reason"]}

    @property
    def caller(self) -> Caller:
        return caller_of(self.request)


class OpenView(ApiView):
    """For everybody: credentials in the header are not even looked at. What it asks for stands in its body."""

    def perform_authentication(self, request: Request) -> None:
        pass


class AppView(ApiView):
    """Runs inside the App that the credentials name; `self.app` is that App.

    It is entered once the caller may do what they ask, and left when the view has returned: what streams its answer
    later enters it by itself.
    """

    app: App

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with ExitStack() as self._entered:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.app = self._entered.enter_context(in_app(app_of(request, self.caller)))
        self._entered.enter_context(payloads.shown_to(self.caller))
        for admit in admissions:
            self.headers.update(admit(self.app, self.caller))


def _checked(serializer: type[Body], data: Any) -> dict[str, Any]:
    if data is None:  # JSON's null, which a serializer takes for a field that was left out
        raise ValidationError("Must be a JSON object.")
    return dict(_shared(serializer).run_validation(data))


@cache
def _shared(serializer: type[Body]) -> Body:
    """One for all requests: it keeps nothing of what it checks, and making its fields costs more than using them."""
    return serializer()


def caller_of(request: Request) -> Caller:
    caller = request.user
    assert isinstance(caller, Caller)
    return caller

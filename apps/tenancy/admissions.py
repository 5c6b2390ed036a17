"""What every request of an App has to get past, once the App is entered (`apps.tenancy.http.views`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apps.accounts.permissions import Caller
from apps.tenancy.models import App

# Each raises what refuses the request, or returns headers of the answer.
admissions: list[Callable[[App, Caller], Mapping[str, str]]] = []

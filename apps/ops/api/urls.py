from typing import NoReturn

from django.http import Http404, HttpRequest
from django.urls import path, re_path

from apps.ops.api import apps, config, documents, tokens


def nothing(request: HttpRequest) -> NoReturn:
    """What begins like the API's addresses but is none: a problem, not the console's login page."""
    raise Http404


urlpatterns = [
    path("openapi.json", documents.OpenApi.as_view(), name="openapi"),
    path("docs", documents.Docs.as_view(), name="docs"),
    path(".well-known/jwks.json", tokens.Jwks.as_view(), name="jwks"),
    path("auth/token", tokens.LogIn.as_view(), name="auth-token"),
    path("auth/token/refresh", tokens.Refresh.as_view(), name="auth-refresh"),
    path("auth/token/revoke", tokens.Revoke.as_view(), name="auth-revoke"),
    path("admin/apps", apps.Apps.as_view(), name="admin-apps"),
    path("admin/apps/<slug:name>", apps.OneApp.as_view(), name="admin-app"),
    path("admin/apps/<slug:name>/config", config.AppConfig.as_view(), name="admin-app-config"),
    path("admin/apps/<slug:name>/config/revisions", config.Revisions.as_view(), name="admin-app-revisions"),
    path(
        "admin/apps/<slug:name>/config/revisions/<int:number>/rollback",
        config.Rollback.as_view(),
        name="admin-app-rollback",
    ),
    path("admin/apps/<slug:name>/token", tokens.AppToken.as_view(), name="admin-app-token"),
    path("admin/apps/<slug:name>/tokens", tokens.AppTokens.as_view(), name="admin-app-tokens"),
    path("admin/apps/<slug:name>/tokens/<slug:key>", tokens.OneAppToken.as_view(), name="admin-app-issued-token"),
    path("admin/apps/<slug:name>/secrets", apps.AppSecrets.as_view(), name="admin-app-secrets"),
    path("admin/apps/<slug:name>/secrets/<slug:key>", apps.AppSecret.as_view(), name="admin-app-secret"),
    re_path(r"^admin/(?:(?:apps|workers)(?:/.*)?|queue/[^/]+)$", nothing, name="admin-nothing"),
]

"""Every address of the product; each app adds its own."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("apps.ops.urls")),
    path("", include("apps.tasks.api.urls")),
    path("", include("apps.sessions.api")),
    path("", include("apps.approvals.api")),
    path("", include("apps.approvals.grants_api")),
    path("", include("apps.triggers.entry_points.api")),
    path("", include("apps.triggers.webhooks.api")),
    path("", include("apps.triggers.api")),
    path("", include("apps.agents.api")),
    path("", include("apps.quotas.api")),
    path("", include("apps.queue.api")),
    path("", include("apps.ops.api.urls")),  # last of the API: it answers for what is left of /admin/apps and the like
    path("", include("apps.console.urls")),
]

handler400 = "apps.ops.errors.bad_request"
handler403 = "apps.ops.errors.permission_denied"
handler404 = "apps.ops.errors.page_not_found"
handler500 = "apps.ops.errors.server_error"

"""The console's addresses: `/` leads to it. Approvals have short ones, for people who decide and do nothing else."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path
from django.views.generic import RedirectView

from apps.console.invitation import Welcome
from apps.console.site import site
from apps.console.views import approval, grants, inbox

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/welcome/<str:uidb64>/<str:token>/", Welcome.as_view(site=site), name="welcome"),
    path("admin/", site.urls),
    path("approvals/logout/", LogoutView.as_view(next_page="admin:login"), name="inbox_logout"),
    path("approvals/", site.inbox_page(inbox.index), name="inbox"),
    path("approvals/batch/", site.inbox_page(inbox.batch), name="inbox_batch"),
    path("approvals/grants/", site.inbox_page(grants.index), name="grants"),
    path("approvals/grants/<uuid:grant_id>/revoke/", site.inbox_page(grants.revoke), name="grant_revoke"),
    path("approvals/<uuid:approval_id>/", site.inbox_page(approval.page), name="inbox_approval"),
]

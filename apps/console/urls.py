"""The console's addresses: `/` leads to it."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from apps.console.site import site

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", site.urls),
]

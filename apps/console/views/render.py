"""Answering with a page, whole or only its living part."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse

from apps.console import frame

_TIME = re.compile(r"(<time [^>]*>)[^<]*")  # relative times go stale by themselves; console.js keeps them current


def page(
    request: HttpRequest,
    site: AdminSite,
    template: str,
    title: str,
    crumbs: list[tuple[str, str]] | None = None,
    **values: Any,
) -> HttpResponse:
    """A page in the frame of whoever looks at it. `crumbs` are the titles and addresses of the pages above it."""
    around = frame.lean(request) if frame.is_lean(request) else site.each_context(request)
    context = {**around, "title": title, "crumbs": crumbs or [], **values}
    return TemplateResponse(request, f"console/{template}", context)


def live_page(
    request: HttpRequest, site: AdminSite, template: str, live: str, title: str, *, ends: bool = False, **values: Any
) -> HttpResponse:
    """A page with a part that renews itself: `live` is that part's template, which gets `values`.

    static/console/live.js asks for the part again and names the state that it shows; 304 means that nothing has
    changed. With `ends`, nothing will change any more and it asks no further. Both have the badge's number.
    """
    html = render_to_string(f"console/{live}", {"app": values.get("app"), "can": frame.can(request), **values}, request)
    version = hashlib.sha256(_TIME.sub(r"\1", html).encode()).hexdigest()[:16]
    if not frame.is_refresh(request):
        return page(request, site, template, title, live={"version": version, "ends": ends, "html": html}, **values)
    waiting = {"X-Waiting": str(frame.waiting(request))}
    if request.headers["X-Live"] == version:
        return HttpResponse(status=304, headers=waiting)
    headers = {"X-Live": version, "X-Live-Ends": "yes" if ends else "no", "Cache-Control": "no-store"}
    return HttpResponse(html, headers=headers | waiting)

"""One's own second factor: turned on with a first code, turned off with another one."""

from __future__ import annotations

from base64 import b32encode

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.accounts import second_factor
from apps.accounts.models import User
from apps.console.views.render import page
from apps.tenancy.models import App


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    user = request.user
    assert isinstance(user, User)
    on, code, fault = second_factor.is_on(user), request.POST.get("code", ""), ""
    if request.method == "POST":
        if on and second_factor.accepts(user, code):
            second_factor.turn_off(user, by=user.get_username())
            messages.success(request, "The second factor is off: the password is enough.")
            return redirect("admin:two_factor")
        if not on and second_factor.turn_on(user, code):
            messages.success(request, "The second factor is on: from now on, logging in takes a code, too.")
            return redirect("admin:two_factor")
        fault = "This is not the code of now. Wait for the next one; after wrong ones, for some seconds more."
    device = None if on else second_factor.begin(user)
    response = page(
        request, site, "two_factor.html", "Second factor",
        on=on, fault=fault,
        picture=device and second_factor.picture(device),
        key=device and b32encode(device.bin_key).decode(),
    )  # fmt: skip
    response.status_code = 400 if fault else 200
    return response

"""Somebody's visit with a browser, and what a page has to be like for them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

AXE = (Path(__file__).parents[2] / "support" / "axe.min.js").read_text()
PASSWORD = "a good password"
_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SIZES: dict[int, Literal["light", "dark"]] = {1280: "light", 390: "dark"}  # a desk and a phone
expect.set_options(timeout=15_000)


class Visit:
    """A page of somebody. What the browser complains about fails the test."""

    def __init__(self, context: BrowserContext, address: str, *, whole: bool) -> None:
        self.address = address
        self.whole = whole
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def log_in(self, name: str = "olga") -> None:
        page = self.open("/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("button", name="Log in")).to_have_count(0)

    def submit(self, agent: str, text: str) -> Page:
        page = self.open(f"/admin/tasks/new/?agent={agent}")
        page.get_by_label("Input").fill(text)
        page.get_by_role("button", name="Submit task").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(f"{agent}: {text[:20]}")
        return page

    def accessibility(self) -> list[str]:
        """What axe finds that is serious."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE)
        found: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {node['html'][:160]}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    def examine(self, *paths: str) -> None:
        """Each page fits at a desk and on a phone; there it reads well in the light, and here in the dark.

        Without `whole`, every page is seen as one of both, in turn.
        """
        faults: list[str] = []
        looks = list(SIZES.items())
        for number, path in enumerate(paths):
            self.open(path)
            for width, scheme in looks if self.whole else [looks[number % len(looks)]]:
                self._dress(width, scheme)
                wide: int = self.page.evaluate(_WIDE)
                faults += [f"{path} scrolls sideways by {wide} at {width}"] if wide > 0 else []
                faults += [f"{path} at {width}: {fault}" for fault in self.accessibility()]
                self._keep_picture(path, width, scheme)
        assert faults == []

    def _dress(self, width: int, scheme: Literal["light", "dark"]) -> None:
        """Also a page that is open: the console gives it the class `dark` when it loads."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": width, "height": 844})
        self.page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def _keep_picture(self, path: str, width: int, scheme: str) -> None:
        """For people who want to look: in the directory that SCREENSHOTS names."""
        if shots := os.environ.get("SCREENSHOTS"):
            name = path.split("?")[0].strip("/").replace("/", "-")
            self.page.screenshot(path=f"{shots}/{name}-{scheme}-{width}.png", full_page=True)


def api(
    address: str, token: str, path: str, body: dict[str, Any] | None = None, *, app: str = "default", **headers: str
) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers |= {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "X-Hector-App": app}
    try:
        with urlopen(Request(address + path, data, headers)) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        return refused.code, json.load(refused)


def state(page: Page, name: str) -> None:
    """Waits until the page of a task shows this state."""
    expect(page.locator(f"#part-head .state[data-state={name}]")).to_be_visible()

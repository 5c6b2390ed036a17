"""The console in a real browser, against a real installation with a worker.

Skipped where there is no Chromium; CI installs one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.ops.processes import free_port, healthy
from tests.support import environment
from tests.support.installation import Installation
from tests.support.work import wait_for

# What a browser makes of a page has little to do with the database: on PostgreSQL one test is enough of a sample.
pytestmark = [pytest.mark.sampled("sqlite"), pytest.mark.xdist_group("browser")]
AXE = (Path(__file__).parent.parent / "support" / "axe.min.js").read_text()
ARGUMENTS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
]
expect.set_options(timeout=15_000)
PASSWORD = "a good password"
DOCUMENT = {
    "version": "2",
    "llms": {
        "steps": {
            "provider": "scripted",
            "script": [
                {"delay": "500ms", "calls": [{"tool": "lookup_order", "arguments": {"number": "A-1042"}}]},
                {"delay": "500ms", "text": "It arrives on Thursday."},
            ],
        },
        "slow": {"provider": "scripted", "script": [{"delay": "90s", "text": "done"}]},
        "broken": {"provider": "scripted", "script": [{"error": {"status": 401}}]},
    },
    "tools": {"lookup_order": {"type": "function", "handler": "hector_demo.shop.lookup_order", "idempotent": True}},
    "agents": {
        "clerk": {"llm": "steps", "tools": ["lookup_order"], "description": "Looks orders up"},
        "slow": {"llm": "slow", "description": "Takes its time"},
        "broken": {"llm": "broken", "description": "Has a wrong key"},
        "report": {
            "type": "function",
            "handler": "hector_demo.text.count_words",
            "input_schema": {
                "type": "object",
                "required": ["text"],
                "properties": {"text": {"type": "string"}, "style": {"enum": ["short", "long"]}},
            },
        },
    },
}
SETUP = f"""
from apps.accounts.models import User
from apps.tenancy import lifecycle
User.objects.create_superuser("olga", password="{PASSWORD}")
lifecycle.create("acme", by="tests", display_name="Acme Corporation")
"""


def chromium() -> str | None:
    """A browser of this machine, or the one that Playwright has installed."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium here: `playwright install chromium` brings one")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(browser: Browser, tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[str]:
    """A running `hector serve`, in processes of its own: nothing of Django runs beside the browser's event loop."""
    installation = Installation.create(tmp_path_factory.mktemp("console") / "home", 9000)
    try:
        installation.python(SETUP)
        (installation.home / "hector.yaml").write_text(json.dumps(DOCUMENT))
        port = free_port()
        options = ["--port", str(port), "--queue-workers", "1", "--log-file", str(installation.home / "log")]
        installation.start("serve", *options, env={"HECTOR_WEB_PROCESSES": "1"}, stdout=subprocess.DEVNULL)
        wait_for(lambda: healthy(port), seconds=40, what="the server is healthy")
        yield f"http://127.0.0.1:{port}"
    finally:
        installation.remove()


class Visit:
    """A logged-in operator's page. What the browser complains about fails the test."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.address = address
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
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")

    def submit(self, agent: str, text: str) -> Page:
        page = self.open(f"/admin/tasks/new/?agent={agent}")
        page.get_by_label("Input").fill(text)
        page.get_by_role("button", name="Submit task").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(f"{agent}: {text[:20]}")
        return page

    def accessibility(self) -> list[str]:
        """What axe finds that is serious."""
        self.page.evaluate(AXE)
        found: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {node['html'][:160]}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]


def state(page: Page, name: str) -> None:
    """Waits until the page of a task shows this state."""
    expect(page.locator(f"#part-head .state[data-state={name}]")).to_be_visible()


def visit(browser: Browser, address: str, **options: Any) -> Iterator[Visit]:
    context = browser.new_context(reduced_motion="reduce", **options)
    visiting = Visit(context, address)
    visiting.log_in()
    yield visiting
    context.close()
    assert visiting.complaints == []


@pytest.fixture
def operator(browser: Browser, address: str) -> Iterator[Visit]:
    yield from visit(browser, address)


@pytest.fixture(params=["light-1280", "dark-1280", "light-390", "dark-390"])
def dressed(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Visit]:
    """An operator in each theme, at a desk and on a phone."""
    theme, width = request.param.split("-")
    yield from visit(browser, address, color_scheme=theme, viewport={"width": int(width), "height": 844})


@pytest.mark.sampled("sqlite", "postgresql")
def test_an_operator_submits_a_task_and_watches_it_complete_without_reloading(operator: Visit) -> None:
    page = operator.open("/admin/")
    page.get_by_role("link", name="Tasks", exact=True).click()
    page.get_by_role("link", name="New task").first.click()
    page.get_by_label("Agent").select_option("clerk")
    page.get_by_label("Input").fill("Where is order A-1042?")
    page.get_by_role("button", name="Submit task").click()
    page.evaluate("window.same = true")
    state(page, "completed")
    expect(page.locator("#part-output")).to_contain_text("It arrives on Thursday.")
    expect(page.locator("#part-timeline")).to_contain_text("Tool lookup_order")
    expect(page.locator("#part-conversation")).to_contain_text("Calls lookup_order")
    expect(page.locator("#why")).to_contain_text("Completed at the first attempt")
    assert page.evaluate("window.same") is True


def test_what_was_unfolded_stays_so_while_the_page_renews_itself(operator: Visit) -> None:
    page = operator.submit("clerk", "word " * 1000)
    page.locator("#payload-input-fold > summary").click()
    page.mouse.move(0, 0)
    state(page, "completed")
    expect(page.locator("#payload-input-text")).to_be_visible()


def test_an_operator_cancels_what_runs_and_retries_it(operator: Visit) -> None:
    page = operator.submit("slow", "Take your time")
    expect(page.locator("#why")).to_contain_text("Waiting for the model")
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_label("Reason").fill("It takes too long")
    page.get_by_role("button", name="Cancel this task").click()
    state(page, "cancelled")
    expect(page.locator("#part-timeline")).to_contain_text("It takes too long")
    page.get_by_role("link", name="Retry…").click()
    page.get_by_role("button", name="Retry this task").click()
    state(page, "running")
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel this task").click()
    state(page, "cancelled")


def test_a_fork_goes_on_from_a_chosen_checkpoint_and_says_before_what_runs_again(operator: Visit) -> None:
    page = operator.submit("clerk", "Where is order A-1042?")
    state(page, "completed")
    page.get_by_role("link", name="Fork from checkpoint 1").click()
    expect(page.locator("#plan")).to_contain_text("These calls run: lookup_order.")
    page.get_by_label("Tool lookup_order answered").check()
    expect(page.locator("#plan")).not_to_contain_text("These calls run")  # else the first plan is still shown
    expect(page.locator("#plan")).to_contain_text("The model is asked anew: one recorded answer is set aside.")
    page.get_by_role("button", name="Fork this task").click()
    expect(page.locator("#part-timeline")).to_contain_text("Made as a fork")
    state(page, "completed")
    expect(page.locator("#part-timeline")).not_to_contain_text("Tool lookup_order")


def test_the_app_is_switched_at_the_top(operator: Visit) -> None:
    page = operator.open("/admin/tasks/")
    page.get_by_label("App", exact=True).select_option("acme")
    expect(page).to_have_url(f"{operator.address}/admin/tasks/?app=acme")
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    operator.open("/admin/agents/")
    expect(page.get_by_text("This App has no agents yet.")).to_be_visible()


def api(address: str, token: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "X-Hector-App": "default"}
    try:
        with urlopen(Request(address + path, data, headers)) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        return refused.code, json.load(refused)


def test_an_operator_invites_a_colleague_who_sees_that_app_only(
    operator: Visit, browser: Browser, address: str
) -> None:
    secret = environment.SECRETS["HECTOR_AUTH_SECRET"]
    new = {"name": "initech", "display_name": "Initech", "config": DOCUMENT | {"name": "initech"}}
    assert api(address, secret, "/admin/apps", new)[0] == 201

    page = operator.open("/admin/accounts/user/?app=initech")
    page.get_by_role("link", name="Invite a colleague").click()
    page.get_by_label("Username").fill("mia")
    page.get_by_label("Role").select_option("operator")
    page.get_by_role("button", name="Invite").click()
    link = page.locator("#invitation").inner_text()

    operator.open("/admin/platform/apps/initech/")
    page.get_by_role("link", name="Tokens").click()
    page.get_by_label("What it is for").fill("Mia's scripts")
    page.get_by_role("button", name="Make the token").click()
    token = page.locator("#new-token").inner_text()

    context = browser.new_context(reduced_motion="reduce")
    mia = Visit(context, "")
    theirs = mia.open(link)
    theirs.get_by_label("Password", exact=True).fill(PASSWORD)
    theirs.get_by_label("Once more").fill(PASSWORD)
    assert mia.accessibility() == []
    theirs.get_by_role("button", name="Set the password").click()
    mia.address = address
    mia.log_in("mia")
    assert theirs.get_by_label("App", exact=True).locator("option").all_inner_texts() == ["Initech"]
    expect(theirs.get_by_role("link", name="Queue and workers")).to_have_count(0)
    mia.submit("clerk", "Where is order A-1042?")
    state(theirs, "completed")
    task = theirs.url.rstrip("/").rpartition("/")[2]
    assert mia.complaints == []
    for elsewhere in ("/admin/tasks/?app=default", "/admin/tasks/?app=acme", "/admin/platform/apps/"):
        answer = context.request.get(address + elsewhere)
        assert answer.status in (403, 404), elsewhere
    context.close()

    assert api(address, token, f"/tasks/{task}")[1]["status"] == "completed"
    assert [found["id"] for found in api(address, token, "/tasks")[1]["results"]] == [task]
    assert api(address, token, "/admin/apps")[0] == 403
    trail = operator.open("/admin/audit/?of=people")
    expect(trail.get_by_text("Person invited")).to_be_visible()
    expect(trail.get_by_text("Token issued").first).to_be_visible()


def test_the_theme_is_chosen_and_kept(operator: Visit) -> None:
    page = operator.open("/admin/")
    page.get_by_role("button", name="olga").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html.dark")).to_have_count(1)
    operator.open("/admin/tasks/")
    expect(page.locator("html.dark")).to_have_count(1)


def test_the_keyboard_reaches_search_and_rows(operator: Visit) -> None:
    operator.submit("clerk", "for the keyboard")
    page = operator.open("/admin/tasks/")
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("[data-search]").blur()
    page.keyboard.press("j")
    expect(page.locator(".row-link").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("clerk: for the keyboard")


def test_a_task_is_submitted_without_javascript(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    visiting = Visit(context, address)
    visiting.log_in()
    page = visiting.open("/admin/tasks/new/")
    page.get_by_label("Agent").select_option("report")
    page.get_by_role("button", name="Choose").click()
    page.get_by_label("Text").fill("three words here")
    page.get_by_role("button", name="Submit task").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("report:")
    context.close()


def test_every_page_fits_reads_well_and_raises_no_error(dressed: Visit, request: pytest.FixtureRequest) -> None:
    task = dressed.submit("broken", "This cannot work").url.removeprefix(dressed.address)
    state(dressed.page, "failed")
    paths = [
        "/admin/", "/admin/tasks/", "/admin/tasks/?status=failed&created=1h&q=cannot", "/admin/tasks/?q=nothing",
        "/admin/tasks/new/?agent=report", task, f"{task}retry/", f"{task}fork/",
        "/admin/agents/", "/admin/agents/clerk/",
        "/admin/dead-letters/", "/admin/dead-letters/letters/", "/admin/dead-letters/retry/?agent=broken",
        "/admin/dead-letters/discard/", "/admin/dead-letters/?status=discarded",
        "/admin/configuration/", "/admin/configuration/1/", "/admin/platform/apps/", "/admin/platform/apps/acme/",
        "/admin/platform/queue/", "/admin/platform/queue/pause/", "/admin/platform/queue/entries/?state=ready",
        "/admin/platform/apps/acme/tokens/", "/admin/platform/people/invite/", "/admin/accounts/user/", "/admin/audit/",
        "/admin/audit/?of=people", "/approvals/",
    ]  # fmt: skip
    examined = request.node.callspec.params["dressed"] in ("light-1280", "dark-390")  # axe takes its time
    faults: list[str] = []
    for path in paths:
        page = dressed.open(path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        faults += [f"{path} scrolls sideways by {wide}"] if wide > 0 else []
        faults += [f"{path} {fault}" for fault in dressed.accessibility()] if examined else []
        if shots := os.environ.get("SCREENSHOTS"):  # for people who want to look
            viewport = page.viewport_size or {"width": 0}
            scheme = "dark" if page.locator("html.dark").count() else "light"
            name = path.split("?")[0].strip("/").replace("/", "-")
            page.screenshot(path=f"{shots}/{name}-{scheme}-{viewport['width']}.png", full_page=True)
    assert faults == []


def test_the_login_page_reads_well(browser: Browser, address: str) -> None:
    for theme in ("light", "dark"):
        context = browser.new_context(color_scheme=theme)  # type: ignore[arg-type]
        visiting = Visit(context, address)
        visiting.open("/admin/login/")
        assert visiting.accessibility() == []
        assert visiting.complaints == []
        context.close()

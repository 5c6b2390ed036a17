"""What the README and docs/ name exists, and what a user can set is described there."""

from __future__ import annotations

import ast
import itertools
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from pydantic import BaseModel

from apps.accounts.permissions import Role
from apps.agents import registry
from apps.agents.config import schema
from apps.agents.config.checks import validate
from apps.agents.config.reading import read
from apps.agents.llms import scripted
from apps.agents.tools.command import CommandLimits
from apps.approvals.models import Decision
from apps.tasks.events import EventType
from apps.tasks.models import TaskStatus
from hector import commands
from hector_site import cli, options
from tests.docs.pages import PAGES, Block, Page, page
from tests.support.installation import ROOT

EVERYTHING = "\n".join(found.text for found in PAGES)
OPENAPI = json.loads((ROOT / "docs/openapi.json").read_text())
NOT_DESCRIBED = {
    "/health",
    "/health/live",
    "/health/ready",
    "/openapi.json",
    "/docs",
    "/admin/",
    "/approvals/",
}  # in openapi.json
OF_AN_APP = {"/webhooks/APP/PATH", "/webhooks/shophook/github", "/github", "/orders/{id}", "/orders/new"}
INTERNAL = {  # variables that are not for users
    "HECTOR_ROLE": "the command that runs, set by `hector`",
    "HECTOR_LISTENER": "the socket that `hector serve` hands to its web server",
    "HECTOR_FAULT": "where a test stops a process",
}
FOR_TESTS = {"HECTOR_TEST_DATABASE"}
LARGEST_IMAGE = 200 * 1024
each_page = pytest.mark.parametrize("shown", PAGES, ids=lambda found: found.name)


# --- Links ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shown", [*PAGES, Page(ROOT / "CHANGELOG.md")], ids=lambda found: found.name)
def test_every_link_leads_somewhere(shown: Page) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", shown.prose):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (shown.path.parent / file).resolve() if file else shown.path
        assert path.exists(), target
        if anchor:
            assert anchor in Page(path).anchors(), target


def test_every_page_is_in_both_indexes() -> None:
    for index in (page("README.md"), page("docs/README.md")):
        for other in PAGES:
            if other.path.parent.name == "docs" and other.name != "docs/README.md":
                assert re.search(rf"\]\((docs/)?{re.escape(other.path.name)}\)", index.text), (index.name, other.name)


def test_images_are_used_and_small() -> None:
    for image in (ROOT / "docs/images").iterdir():
        assert f"images/{image.name})" in EVERYTHING
        assert image.stat().st_size < LARGEST_IMAGE, image.name


@each_page
def test_no_page_names_a_place_on_somebodys_machine(shown: Page) -> None:
    assert not re.search(r"(?<![\w.])/(?:work|home|root|tmp|Users)/", shown.text)


# --- Commands and variables -----------------------------------------------------------------------------------------
def hector_commands(shown: Page) -> Iterator[list[str]]:
    """The command and arguments of everything that runs `hector`."""
    lines = [line for block in shown.blocks("sh", "console") for line in block.text.splitlines()] + shown.spans()
    for line in lines:
        if match := re.match(r"\s*(?:HECTOR_\w+=\S+ +)*hector +([a-z_]+.*)", line):
            yield shlex.split(match[1], comments=True)


def flags(command: str) -> set[str]:
    """What the command takes."""
    product = cli.COMMANDS[command]
    known = {flag for group in product.groups for option in group.options for flag in (option.flag, option.short)}
    known |= {"--help"}
    if product.by_api:
        known |= {
            flag
            for action in commands.parser(command, commands.all_commands()[command])._actions
            for flag in action.option_strings
        }
    elif product.own_arguments:
        parser = load_command_class(get_commands()[command], command).create_parser("hector", command)
        known |= {flag for action in parser._actions for flag in action.option_strings}
    return known


def settings_options() -> list[options.Option]:
    groups = (options.CONFIG, options.ADDRESS, options.ISSUER, options.COMMON, options.QUEUE)
    return [option for group in groups for option in group.options]


@each_page
def test_every_command_and_flag_exists(shown: Page) -> None:
    for command, *arguments in hector_commands(shown):
        assert command in cli.COMMANDS, command
        given = {argument for argument in arguments if re.match(r"--?[a-z]", argument)}
        assert given <= flags(command), (command, given - flags(command))
    known = {flag for option in settings_options() for flag in (option.flag, option.short)}
    for command in ("run", "tasks", "apply", "approvals", "approve", "check_integrity", "keys", "revoke"):
        known |= flags(command)
    for span in shown.spans():
        if re.match(r"--[a-z]", span):
            assert span.split()[0] in known, span


def read_by_the_product() -> tuple[set[str], set[str]]:
    """The variables that the sources read, and those of them that may be given as a file."""
    sources = [path.read_text() for root in ("hector", "hector_site", "apps") for path in (ROOT / root).rglob("*.py")]
    text = "\n".join(sources)
    known = set(re.findall(r'(?:env[a-z]+|environ\.get)\(\s*"(HECTOR_[A-Z_]+)"', text))
    return known | {option.variable for option in settings_options()}, set(
        re.findall(r'envsecret\(\s*"(HECTOR_[A-Z_]+)"', text)
    )


def test_every_variable_exists_and_every_setting_is_described() -> None:
    known, secret = read_by_the_product()
    known |= {"HECTOR_HOME", *(f"{name}_FILE" for name in secret)}
    named = set(re.findall(r"\bHECTOR_[A-Z_]*[A-Z]\b", EVERYTHING))
    assert named <= known | FOR_TESTS, named - known - FOR_TESTS
    described = page("docs/operating.md").text.partition("## All settings")[2]
    for name in known - set(INTERNAL) - {f"{name}_FILE" for name in secret}:
        assert f"`{name}`" in described, name
    for option in settings_options():
        assert f"`{option.flag}`" in described, option.flag


# --- The API --------------------------------------------------------------------------------------------------------
def addresses(shown: Page) -> Iterator[tuple[str, str]]:
    """Method (or nothing) and path of what the page says about the API."""
    for span in shown.spans():
        if match := re.fullmatch(r"(?:(GET|POST|PUT|PATCH|DELETE) )?(/[a-z.][\w./{}-]*)(?:\?.*)?", span):
            yield match[1] or "", match[2]
    for block in shown.blocks("sh", "console"):
        for path in re.findall(r"(?:127\.0\.0\.1:8080|\$HECTOR)(/[^\s\"'?]*)", block.text):
            yield "", path
    for path in re.findall(r"<http://127\.0\.0\.1:8080(/[^>]*)>", shown.prose):
        yield "", path


def described_as(path: str) -> str | None:
    """The path's entry in openapi.json."""
    if path in OPENAPI["paths"]:
        return path
    for template in OPENAPI["paths"]:
        pattern = re.sub(r"\\\{\w+\\\}", r"[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            return str(template)
    return None


@each_page
def test_every_address_exists(shown: Page) -> None:
    for method, path in addresses(shown):
        template = described_as(path)
        assert template or path in NOT_DESCRIBED | OF_AN_APP, path
        if method and template:
            assert method.lower() in OPENAPI["paths"][template], (method, path)


def test_every_address_of_the_api_is_described() -> None:
    told = {described_as(path) for path in [path for _, path in addresses(page("docs/api.md"))]}
    assert set(OPENAPI["paths"]) - told - {"/schema"} == set()


def first_column(text: str, heading: str) -> list[str]:
    """The words in the first column of the table with that heading."""
    rows = itertools.takewhile(lambda line: line.startswith("|"), text.partition(heading)[2].splitlines()[1:])
    return [word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_the_words_of_the_api_are_described() -> None:
    text = page("docs/api.md").text
    for word in [*Role, *(set(TaskStatus) - {TaskStatus.PENDING, TaskStatus.RUNNING}), *Decision.Verb]:
        assert word.value in text, word
    for body in ("NewTask", "RetryRequest", "ForkRequest", "DeadLetterBulk"):
        for field in OPENAPI["components"]["schemas"][body]["properties"]:
            assert f"`{field}`" in text, field
    told = set(first_column(text, "| type | payload |"))
    assert told == {kind.value for kind in EventType if not kind.startswith("operation_")}


def test_every_type_of_event_is_one_that_the_product_writes() -> None:
    shown_only = ROOT / "apps/console"
    writers = [path for path in (ROOT / "apps").rglob("*.py") if shown_only not in path.parents]
    written = set(re.findall(r"EventType\.([A-Z_]+)", "\n".join(path.read_text() for path in writers)))
    assert written == set(EventType.__members__)


def test_every_log_event_that_one_should_watch_is_one_that_the_product_writes() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "apps").rglob("*.py"))
    events = page("docs/operating.md").text.partition("log events of level")[2].partition("\n- ")[0]
    names = [name for name in re.findall(r"`(\w+)`", events) if "_" in name]
    assert len(names) > 4
    for name in names:
        assert f'"{name}"' in sources, name


def test_every_error_code_of_a_task_is_one_that_the_product_gives() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "apps").rglob("*.py"))
    codes = first_column(page("docs/api.md").text, "| code | what it means |")
    assert len(codes) > 20
    for code in codes:
        assert f'"{code}"' in sources, code


# --- The document ---------------------------------------------------------------------------------------------------
DOCUMENTS = [block for shown in PAGES for block in shown.blocks("yaml")]
BASE: dict[str, Any] = {
    "llms": {"default": {"provider": "scripted", "script": [{"text": "Hello"}]}},
    "defaults": {"llm": "default"},
}


@pytest.mark.parametrize("block", DOCUMENTS, ids=lambda block: block.place)
def test_every_document_is_valid(block: Block) -> None:
    part = read(block.text).data
    validate(part if "version" in part or block.file else BASE | part | {"llms": BASE["llms"] | part.get("llms", {})})


def models() -> dict[str, list[type[BaseModel]]]:
    """What a document is made of, by the page that describes it."""
    agents = [*schema.AGENTS.values(), schema.Limits, schema.Retry, schema.Defaults]
    timer = (triggers := dict(registry.trigger_specs)).pop("timer")
    llms = [*schema.llm_specs().values(), registry.Price, scripted.Turn, scripted.Call, scripted.Fault]
    return {
        "docs/configuration.md": [schema.Document, *agents, *llms],
        "docs/tools.md": [*schema.tool_specs().values(), CommandLimits],
        "docs/entry-points.md": [schema.EntryPointConfig, *triggers.values()],
        "docs/timers.md": [timer],
        "docs/notifications.md": [*registry.channel_specs.values()],
    }


@pytest.mark.parametrize("name", models())
def test_every_key_of_the_document_is_described(name: str) -> None:
    told = "\n".join([*page(name).spans(), *(block.text for block in page(name).blocks("yaml"))])
    for model in models()[name]:
        for field in model.model_fields:
            assert re.search(rf"\b{field}\b", told), f"{model.__name__}.{field}"


def test_every_kind_is_described_and_so_is_what_is_not_there_yet() -> None:
    spans = "\n".join(page("docs/configuration.md").spans())
    later = set().union(*schema.LATER_KEYS.values(), schema.LATER_TOOLS, schema.LATER_AGENTS)
    for word in {*schema.AGENTS, *schema.tool_specs(), *schema.llm_specs(), *later}:
        assert re.search(rf"\b{word}\b", spans), word


# --- The house ------------------------------------------------------------------------------------------------------
def test_every_app_and_the_direction_of_imports_are_described() -> None:
    text = page("docs/development.md").text
    for app in (ROOT / "apps").iterdir():
        assert not (app / "apps.py").exists() or f"`apps/{app.name}`" in text, app.name
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert " -> ".join(re.sub(" [:|] ", ", ", layer) for layer in layers) in text


# --- Other languages ------------------------------------------------------------------------------------------------
@each_page
def test_blocks_are_what_they_say(shown: Page) -> None:
    for block in shown.blocks():
        assert block.kind in {"sh", "console", "yaml", "json", "python", "ini", ""}, block.place
        if block.kind == "json":
            json.loads(block.text)
        elif block.kind == "python":
            ast.parse(block.text)

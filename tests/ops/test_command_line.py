"""The `hector` command as it is typed: its help, and one sentence for what was typed wrongly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest
from django.core.management import get_commands

from apps.accounts.permissions import COMMANDS as PERMITTED
from hector import commands
from hector_site import VERSION
from hector_site.cli import COMMANDS, main
from tests.ops.processes import free_port
from tests.support.starter import ROOT, Starter


class Hector(Protocol):
    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def hector(tmp_path: Path, starter: Starter) -> Hector:
    """Runs the command in an empty directory, without any setting of the tests."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HECTOR_", "DJANGO_"))}
    said = (tmp_path / "stdout", tmp_path / "stderr")

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        for file in said:
            file.write_text("")
        env = clean | {"HECTOR_HOME": str(tmp_path / "home"), "HECTOR_PORT": str(free_port())} | env
        process = starter.start(arguments, env=env, cwd=tmp_path, stdout=said[0], stderr=said[1])
        return subprocess.CompletedProcess(arguments, process.wait(60), *(file.read_text() for file in said))

    return run


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_groups_the_commands_and_makes_nothing(hector: Hector, tmp_path: Path, arguments: list[str]) -> None:
    done = hector(*arguments)
    assert done.returncode == 0
    for word in ("Run:", "serve", "worker", "Configure:", "apply", "Maintain:", "migrate"):
        assert word in done.stdout
    assert not (tmp_path / "home").exists()


def test_serve_tells_every_option(hector: Hector) -> None:
    done = hector("serve", "--help")
    for flag in (
        "-c FILE, --config FILE",
        *("--watch", "--database", "--host", "--port", "--log-level", "--log-format", "--log-file", "--auth-secret"),
        *("--queue-workers", "--queue-max-retries", "--queue-initial-delay", "--queue-max-delay"),
        *("--queue-stale-threshold", "--slots"),
    ):
        assert flag in done.stdout


@pytest.mark.parametrize("argument", ["version", "--version"])
def test_version(hector: Hector, argument: str) -> None:
    assert hector(argument).stdout.strip() == VERSION


def test_some_of_djangos_commands_work_too_and_take_our_options(hector: Hector, tmp_path: Path) -> None:
    assert "no issues" in hector("check").stdout
    url = f"sqlite://{tmp_path}/elsewhere.db"
    code = "from django.conf import settings; print(settings.HECTOR_DATABASE)"
    assert hector("shell", "--no-imports", "-c", code, "--database", url).stdout.strip() == url


def test_a_command_that_shows_no_page_imports_none(tmp_path: Path) -> None:
    """A process of its own: what is forked has imported more."""
    command = [
        sys.executable,
        str(ROOT / "manage.py"),
        "shell",
        "--no-imports",
        "-c",
        "import sys; print(*sys.modules)",
    ]
    env = os.environ | {"HECTOR_HOME": str(tmp_path / "home")}
    imported = set(subprocess.run(command, env=env, capture_output=True, text=True, timeout=60).stdout.split())
    assert "apps.tasks.lifecycle" in imported
    assert imported.isdisjoint({"apps.console.site", "pydantic_ai", "rest_framework.views", "unfold.admin"})


@pytest.mark.parametrize("name", sorted({*get_commands(), "qcluster", "tenant_command", "bogus"} - set(COMMANDS)))
def test_what_would_pass_hectors_rules_by_is_no_command(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HECTOR_ROLE", "")  # which it sets, and pytest sets back
    assert main([name, "--help"]) == 2
    assert capsys.readouterr().err == f"hector: there is no command {name!r} (see `hector --help`)\n"


def test_every_command_that_is_listed_is_there() -> None:
    of_django = {name for name, command in COMMANDS.items() if not command.by_api}
    assert of_django - {"version"} <= set(get_commands())
    assert set(COMMANDS) - of_django == set(commands.all_commands())


@pytest.mark.parametrize(
    ("arguments", "unbuffered"), [(["--help"], "1"), (["--help"], ""), (["serve", "--help"], ""), (["openapi"], "")]
)
def test_output_that_nobody_reads_to_its_end_is_no_fault(tmp_path: Path, arguments: list[str], unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=os.environ | {"HECTOR_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": unbuffered},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serve", "--bogus"], "unrecognized arguments: --bogus"),
        (["bogus"], "there is no command 'bogus'"),
        (["serve", "--port", "http"], "--port is 'http': write a whole number"),
        (["serve", "--port", "70000"], "--port is 70000: the most is 65535"),
        (["worker", "--queue-workers", "0"], "--queue-workers is 0: the least is 1"),
        (["worker", "--queue-max-retries", "-1"], "--queue-max-retries is -1: the least is 0"),
        (["serve", "--queue-max-delay", "later"], "--queue-max-delay: 'later' is not a duration"),
        (["serve", "--queue-initial-delay", "10m"], "--queue-initial-delay is 600s and HECTOR_QUEUE_MAX_DELAY only"),
        (["web", "--log-level", "loud"], "--log-level is 'loud': write debug, info"),
        (["serve", "--database", "mysql://u:s3cret@h/x"], "mysql://u:***@h/x is of an unknown kind"),
        (["serve", "--database", "postgres://u:s3cret@127.0.0.1:1/x"], "postgres://u:***@127.0.0.1:1/x cannot be used"),
        (["serve", "--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
        (["serve", "--port", "0", "-c", "no.yaml"], "--port is 0"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(hector: Hector, arguments: list[str], says: str) -> None:
    done = hector(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "s3cret" not in done.stdout + done.stderr


def test_the_variable_is_named_where_a_variable_was_wrong(hector: Hector) -> None:
    done = hector("serve", HECTOR_SLOTS="many")
    assert (done.returncode, done.stderr) == (2, "hector: HECTOR_SLOTS is 'many': write a whole number\n")


def test_a_home_that_cannot_be_made_is_told(hector: Hector, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = hector("serve", HECTOR_HOME=str(tmp_path / "file"))
    assert done.returncode == 2
    assert done.stderr.startswith("hector: HECTOR_HOME cannot be used:")


def test_a_port_in_use_is_told_before_anything_is_made(hector: Hector, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = hector("serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "Address already in use; choose with --host and --port" in done.stderr
    assert not (tmp_path / "home" / "hector.db").exists()


def test_every_fault_of_the_configuration_is_told_with_its_place(hector: Hector, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text('version: "2"\nagents:\n  a: {type: llm, llm: nowhere, colour: blue}\n')
    done = hector("serve", "-c", "bad.yaml")
    assert done.returncode == 2
    assert "the configuration bad.yaml is refused" in done.stderr
    assert "/agents/a" in done.stderr
    assert "bad.yaml:3" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_address_that_kubernetes_sets_is_no_port(hector: Hector) -> None:
    assert hector("check", HECTOR_PORT="tcp://10.0.0.1:80").returncode == 0


def test_logs_go_to_the_file_that_was_named(hector: Hector, tmp_path: Path) -> None:
    log = tmp_path / "hector.log"
    done = hector("migrate", "--log-file", str(log), "--log-format", "json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert "app_created" in events


def test_every_command_is_in_the_table_of_permissions() -> None:
    assert set(PERMITTED) == set(COMMANDS)

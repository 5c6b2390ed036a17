"""`hector run`, `tasks` and `logs`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.conftest import Done, Hector
from tests.support.installation import ROOT
from tests.support.work import working


def test_a_task_is_run_to_its_end(hector: Hector) -> None:
    with working():
        assert hector("run", "speaker", "Hello", "--wait") == Done(0, "Done.\n", "")
        done = hector("run", "echo", "--input", '{"order": 7}', "--wait", "20")
    assert (done.code, done.json) == (0, {"echo": {"order": 7}})


def test_a_task_is_accepted_listed_and_followed(hector: Hector) -> None:
    done = hector("run", "echo", "Hello", "--tag", "a", "--session", "s", "--priority", "3")
    id = done.out.strip()
    assert done.code == 0 and f"hector logs {id} -f" in done.err
    [task] = hector("tasks", "--tag", "a", "--status", "pending", "--json").json["results"]
    assert (task["id"], task["session"], task["priority"]) == (id, "s", 3)
    listed = hector("tasks", "--agent", "echo").out
    assert id in listed and "pending" in listed and "Hello" in listed
    assert "There are no such tasks." in hector("tasks", "--agent", "boom").err
    with working():
        followed = hector("logs", id, "-f")
    assert followed.code == 0
    assert followed.out.splitlines()[-1].split()[1] == "execution_completed"
    assert hector("logs", id).out == followed.out
    assert len(hector("logs", id, "--json").out.splitlines()) == len(followed.out.splitlines())


def test_what_goes_wrong_is_a_sentence_and_exit_code_1(hector: Hector) -> None:
    unknown = hector("run", "nobody", "Hello")
    assert (unknown.code, unknown.out, unknown.err) == (1, "", "there is no agent 'nobody' in this App\n")
    assert hector("logs", "01900000-0000-7000-8000-000000000000").code == 1
    late = hector("run", "echo", "Hello", "--wait", "0.05")
    assert late.code == 1 and "is pending after 0.05 s" in late.err
    with working():
        failed = hector("run", "boom", "Hello", "--wait")
    assert (failed.code, failed.out) == (1, "") and "is failed: boom number" in failed.err


def test_who_waits_is_told_that_the_task_waits_for_a_person(hector: Hector) -> None:
    with working():
        done = hector("run", "asker", "Hello", "--wait", "2")
    assert done.code == 1 and done.err.count("It waits for a person") == 1


def test_a_terminal_obeys_nothing_that_somebody_has_written(hector: Hector) -> None:
    hector("run", "echo", "\x1b[31mred\u202e [bold]x[/bold]")
    assert "�[31mred� [bold]x[/bold]" in hector("tasks").out


def test_a_terminal_gets_colours(hector: Hector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with working():
        assert hector("run", "speaker", "Hello", "--wait").code == 0
    assert "\x1b[32mcompleted" in hector("tasks").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run",), "the following arguments are required: AGENT"),
        (("run", "echo", "Hello", "--input", "{}"), "give TEXT or --input, not both"),
        (("run", "echo", "--input", "[]"), "--input: it is no JSON object"),
        (("tasks", "--url", "nowhere"), "--url is 'nowhere'"),
        (("tasks", "--bogus"), "unrecognized arguments: --bogus"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hector_site.cli import main

    monkeypatch.setenv("HECTOR_ROLE", "")
    assert main(list(arguments)) == 2
    told = capsys.readouterr().err
    assert says in told and told.startswith("hector: ") and len(told.splitlines()) == 1


def test_at_an_address_nothing_of_the_server_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from hector_site.cli import main; code = main(['tasks', '--url', 'http://127.0.0.1:1']); "
        "print(code, 'django' in sys.modules, 'apps' in sys.modules)"
    )
    done = python(tmp_path, "-c", code)
    assert done.stdout.split() == ["1", "False", "False"]
    assert "http://127.0.0.1:1 gives no answer" in done.stderr


@pytest.mark.sampled()
def test_where_there_is_no_installation_a_sentence_says_so(tmp_path: Path) -> None:
    done = python(tmp_path, str(ROOT / "manage.py"), "tasks")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("There is no installation here, or one of another version")
    assert "Traceback" not in done.stderr


def python(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HECTOR_", "DJANGO_"))}
    env = clean | {"HECTOR_HOME": str(directory / "home"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=directory, env=env, capture_output=True, text=True, timeout=60
    )

"""`hector init`, `validate`, `apply` and `export`, as an operator sees them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import ManagementUtility, call_command

from apps.agents.config.apply import current
from apps.tenancy import lifecycle, secrets

SOUND = """\
llms:
  default: {provider: openai, model: m, base_url: http://localhost:1, api_key: '${secret:KEY}'}
agents:
  assistant: {llm: default}
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, and what is written to the two streams."""
    try:
        ManagementUtility(["hector", *arguments]).execute()
        code: Any = 0
    except SystemExit as leaving:
        code = leaving.code or 0
    written = capsys.readouterr()
    return code, written.out, written.err


@pytest.fixture
def sound(tmp_path: Path) -> str:
    path = tmp_path / "hector.yaml"
    path.write_text(SOUND)
    return str(path)


def test_init_writes_a_document_that_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "init") == (0, "Wrote hector.yaml. Next: hector serve --config hector.yaml\n", "")
    assert run(capsys, "validate", "hector.yaml") == (0, "hector.yaml is valid: agents 1, tools 0, llms 1.\n", "")


def test_init_leaves_an_existing_file_as_it_is(sound: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, complaint = run(capsys, "init", sound)
    assert (code, complaint) == (1, f"{sound} is there already and was left as it is.\n")
    assert Path(sound).read_text() == SOUND


def test_validate_names_each_fault_on_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("agents:\n  a:\n    llm: gone\n    limits: {requests: 0}\n")
    code, out, complaint = run(capsys, "validate", str(path))
    assert (code, out) == (1, "")
    assert complaint.splitlines() == [
        "/agents/a/llm: There is no `gone` in `llms`; there is nothing. (line 3)",
        "/agents/a/limits/requests: Must be greater than 0. (line 4)",
    ]


def test_validate_says_where_the_yaml_ends_to_make_sense(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("agents:\n  a: [1\nb: 2"))
    code, _, complaint = run(capsys, "validate", "-")
    assert code == 1
    assert complaint.startswith("document: The YAML cannot be read at line 3, column 2")


@pytest.mark.parametrize(
    "arguments", [["validate", "no-such-file"], ["validate", "."], ["validate"], ["apply", "--app"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, complaint = run(capsys, *arguments)
    assert code == 2
    assert complaint


def test_a_file_that_is_no_text_is_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "picture.yaml"
    path.write_bytes(b"\xff\xd8\xff")
    assert run(capsys, "validate", str(path)) == (2, "", f"{path} cannot be read: it is not UTF-8 text.\n")


@pytest.mark.django_db(transaction=True)
def test_apply_says_what_it_did_and_which_secrets_are_not_set(sound: str, capsys: pytest.CaptureFixture[str]) -> None:
    acme = lifecycle.get("acme")
    assert run(capsys, "apply", sound, "--app", "acme", "--comment", "First") == (
        0,
        "Applied to acme as revision 1.\nSecrets that acme does not have yet: KEY\n",
        "",
    )
    secrets.put(acme, "KEY", "value")
    assert run(capsys, "apply", sound, "--app", "acme")[1] == "Nothing to change: acme is at revision 1.\n"
    revision = current(acme)
    assert revision is not None
    assert (revision.author, revision.comment) == ("command line", "First")


@pytest.mark.django_db(transaction=True)
def test_apply_refuses_a_document_with_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"agent": {}}')
    assert run(capsys, "apply", str(path)) == (1, "", "/agent: `agent` is not a key here; did you mean `agents`?\n")
    assert current(lifecycle.get("default")) is None


@pytest.mark.django_db(transaction=True)
def test_apply_to_an_app_that_is_not_there_is_refused(sound: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, complaint = run(capsys, "apply", sound, "--app", "nobody")
    assert (code, out) == (1, "")
    assert "nobody" in complaint


@pytest.mark.django_db(transaction=True)
def test_what_is_exported_can_be_applied_again(tmp_path: Path, sound: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("apply", sound, stdout=io.StringIO())
    code, exported, _ = run(capsys, "export")
    assert code == 0
    assert "api_key: ${secret:KEY}" in exported
    again = tmp_path / "again.yaml"
    again.write_text(exported)
    assert "Nothing to change" in run(capsys, "apply", str(again))[1]

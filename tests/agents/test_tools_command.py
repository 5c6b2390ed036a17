"""`type: command`: real processes, and what hostile input cannot make them do."""

from __future__ import annotations

import asyncio
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from apps.agents.registry import BuildContext
from apps.agents.tools import processes
from apps.agents.tools.command import CommandSpec, build
from tests.agents.running import call, definition, until

pytestmark = pytest.mark.anyio
TEXT = {"type": "string"}
HOSTILE = [
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "| cat /etc/passwd",
    "&& id",
    "a b\tc\nd",
    "../../../etc/passwd",
    "*",
    "'\"\\",
    "{text}",
    "${secret:TOKEN}",
    "",
]


def tool(context: BuildContext, **spec: Any) -> Any:
    return build("the_tool", CommandSpec.model_validate({"type": "command", **spec}), context)


def script(context: BuildContext, name: str, body: str) -> str:
    path = context.workdir / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return f"./{name}"


def alive(pid_file: Path) -> bool:
    pid = int(pid_file.read_text())
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def written(*files: Path) -> bool:
    return all(file.exists() and file.read_text().strip() for file in files)


async def test_a_program_of_the_app_runs_in_its_directory(context: BuildContext) -> None:
    answer = await call(tool(context, command=script(context, "deploy.sh", "echo deployed; pwd")))

    assert answer.content == {"exit_code": 0, "output": f"deployed\n{context.workdir}\n"}


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_value_is_one_argument_whatever_it_holds(context: BuildContext, text: str) -> None:
    command = ["/usr/bin/env", "printf", "<%s>", "{text}", "--name={text}"]
    answer = await call(tool(context, command=command, parameters={"text": TEXT}), text=text)

    assert answer.content == {"exit_code": 0, "output": f"<{text}><--name={text}>"}
    assert list(context.workdir.iterdir()) == []


async def test_a_value_cannot_become_an_option(context: BuildContext) -> None:
    answer = await call(tool(context, command="ls {path}", parameters={"path": TEXT}), path="--version")

    assert answer.outcome == "retried"
    assert "may not begin with '-'" in str(answer.content)


async def test_after_a_double_dash_a_value_may_begin_with_one(context: BuildContext) -> None:
    answer = await call(tool(context, command="ls -- {path}", parameters={"path": TEXT}), path="--version")

    assert answer.content["exit_code"] == 2
    assert "--version" in answer.content["output"]


@pytest.mark.parametrize("text", ["nul\0byte", "x" * 3_000_000])
async def test_text_that_no_command_line_can_hold_goes_back_to_the_model(context: BuildContext, text: str) -> None:
    answer = await call(tool(context, command="echo {text}", parameters={"text": TEXT}), text=text)

    assert answer.outcome == "retried"


async def test_arguments_are_checked_before_anything_runs(context: BuildContext) -> None:
    enum = {"env": {"type": "string", "enum": ["staging", "production"]}}
    toolset = tool(context, command=["touch", "{env}"], parameters=enum)

    for wrong in ({"env": "moon"}, {}, {"env": "staging", "extra": 1}):
        answer = await call(toolset, **wrong)
        assert answer.outcome == "retried"

    assert list(context.workdir.iterdir()) == []


async def test_a_default_fills_in(context: BuildContext) -> None:
    parameters = {"count": {"type": "integer", "default": 3}}
    found = await definition(tool(context, command="echo {count}", parameters=parameters))
    answer = await call(tool(context, command="echo {count}", parameters=parameters))

    assert found.parameters_json_schema["required"] == []
    assert answer.content["output"] == "3\n"


async def test_a_failing_command_is_an_answer(context: BuildContext) -> None:
    answer = await call(tool(context, command=script(context, "fail.sh", "echo out; echo err >&2; exit 3")))

    assert answer.content == {"exit_code": 3, "output": "out\nerr\n"}


async def test_a_missing_program_is_a_failed_call(context: BuildContext) -> None:
    answer = await call(tool(context, command="no-such-program"))

    assert (answer.outcome, answer.content) == ("failed", "no-such-program is not there or cannot be run")


async def test_a_relative_program_cannot_lead_out_of_the_directory(context: BuildContext) -> None:
    (context.workdir / "innocent").symlink_to("/bin/ls")

    for program in ("./innocent", "../../../../../../../bin/ls"):
        answer = await call(tool(context, command=[program]))
        assert answer.outcome == "failed"


async def test_the_environment_is_scrubbed(context: BuildContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HECTOR_AUTH_SECRET", "the operator's")
    answer = await call(tool(context, command="env", env={"API": "key ${secret:TOKEN}"}))

    lines = dict(line.split("=", 1) for line in answer.content["output"].splitlines())
    assert lines.keys() == {"PATH", "HOME", "LANG", "API"}
    assert (lines["HOME"], lines["API"]) == (str(context.workdir), "key s3cr3t-value")


async def test_standard_input_is_empty(context: BuildContext) -> None:
    answer = await asyncio.wait_for(call(tool(context, command="cat")), timeout=10)

    assert answer.content == {"exit_code": 0, "output": ""}


async def test_huge_output_is_cut_in_the_middle(context: BuildContext) -> None:
    body = "echo first; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last"
    answer = await call(tool(context, command=script(context, "loud.sh", body)))

    output = answer.content["output"]
    assert output.startswith("first\nxxx")
    assert output.endswith("xxx\nlast\n")
    assert "bytes left out" in output
    assert len(output) < processes.OUTPUT_LIMIT + 100


async def test_output_that_is_not_text_is_still_an_answer(context: BuildContext) -> None:
    answer = await call(tool(context, command=script(context, "binary.sh", r"printf 'caf\351 \377\376'")))

    assert answer.content["output"] == "caf\ufffd \ufffd\ufffd"


# --- Limits ---------------------------------------------------------------------------------------------------------
async def test_memory_is_limited(context: BuildContext) -> None:
    command = ["/usr/bin/env", sys.executable, "-c", "x = bytearray(400_000_000); print('too much')"]
    answer = await call(tool(context, command=command, limits={"memory": 200}))

    assert answer.content["exit_code"] != 0
    assert "MemoryError" in answer.content["output"]


async def test_processor_time_is_limited(context: BuildContext) -> None:
    body = "while :; do :; done"
    answer = await call(tool(context, command=script(context, "busy.sh", body), limits={"cpu": 1}))

    assert answer.content["exit_code"] in (128 + signal.SIGXCPU, 128 + signal.SIGKILL)


async def test_the_size_of_a_file_is_limited(context: BuildContext) -> None:
    answer = await call(tool(context, command="dd if=/dev/zero of=big bs=1M count=5", limits={"file_size": 1}))

    assert answer.content["exit_code"] != 0
    assert (context.workdir / "big").stat().st_size <= 1024 * 1024


# --- The end of a call ----------------------------------------------------------------------------------------------
async def test_cancelling_kills_the_whole_group_even_if_it_will_not_stop(context: BuildContext) -> None:
    body = (
        "trap '' TERM; (trap '' TERM; echo $BASHPID > inner; sleep 600) & echo $$ > outer; sleep 600 & wait; sleep 600"
    )
    program = context.workdir / "stubborn.sh"
    program.write_text(f"#!/bin/bash\n{body}\n")
    program.chmod(0o755)
    calling = asyncio.create_task(call(tool(context, command="./stubborn.sh")))
    pids = [context.workdir / "outer", context.workdir / "inner"]
    await until(lambda: written(*pids))

    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    assert not any(map(alive, pids))


async def test_a_time_out_kills_a_process_that_left_the_group(context: BuildContext) -> None:
    body = "setsid sh -c 'echo $$ > escaped; exec sleep 600' & sleep 600"
    escaped = context.workdir / "escaped"
    toolset = tool(context, command=script(context, "daemon.sh", body))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as clock:
            calling = asyncio.create_task(call(toolset))
            await until(lambda: written(escaped))
            clock.reschedule(asyncio.get_running_loop().time())
            await calling

    assert not alive(escaped)


async def test_what_a_command_leaves_behind_ends_with_it(context: BuildContext) -> None:
    body = "sleep 600 & echo $! > left; echo done"
    answer = await asyncio.wait_for(call(tool(context, command=script(context, "leave.sh", body))), timeout=20)

    assert answer.content == {"exit_code": 0, "output": "done\n"}
    assert not alive(context.workdir / "left")


async def test_a_program_that_multiplies_is_stopped(context: BuildContext) -> None:
    body = "echo $$ >> pids; n=${1:-0}; [ $n -lt 6 ] && { $0 $((n+1)) & $0 $((n+1)) & }; sleep 600"
    calling = asyncio.create_task(call(tool(context, command=script(context, "bomb.sh", body))))
    pids = context.workdir / "pids"
    await until(lambda: pids.exists() and len(pids.read_text().split()) >= 60, within=30)

    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    left = [pid for pid in pids.read_text().split() if psutil.pid_exists(int(pid))]
    assert left == []


async def test_commands_die_with_a_worker_that_is_killed(context: BuildContext) -> None:
    """kill -9: the worker has no chance to clean up."""
    path = script(context, "work.sh", "sleep 600 & echo $! > child; echo $$ > work; wait")
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(f"""
            import asyncio
            from pathlib import Path
            from apps.agents.tools.processes import Limits, run
            argv = [{str(context.workdir / path)!r}]
            env = {{"PATH": "/usr/bin:/bin"}}
            asyncio.run(run(argv, cwd=Path(argv[0]).parent, env=env, limits=Limits(60, 10**9, 10**9)))
        """),
        cwd=Path(processes.__file__).parents[3],
    )
    pids = [context.workdir / "work", context.workdir / "child"]
    try:
        await until(lambda: written(*pids), within=30)
    finally:
        worker.kill()
        await worker.wait()

    await until(lambda: not any(map(alive, pids)))


# --- The model's own command line -----------------------------------------------------------------------------------
async def test_an_allowed_program_runs_without_a_shell(context: BuildContext) -> None:
    (context.workdir / "a file").touch()
    terminal = tool(context, allowed_commands=["ls", "echo"])

    listed = await call(terminal, command="ls 'a file'")
    echoed = await call(terminal, command="echo $HOME *.txt; id > pwned | cat && ls `id`")

    assert listed.content == {"exit_code": 0, "output": "a file\n"}
    assert echoed.content["output"] == "$HOME *.txt; id > pwned | cat && ls `id`\n"
    assert not (context.workdir / "pwned").exists()


@pytest.mark.parametrize(
    "line",
    [
        "cat /etc/passwd",
        "/bin/cat /etc/passwd",
        "./ls",
        "ls/../cat x",
        "FOO=bar ls",
        "sh -c ls",
        "../../bin/ls",
        "/bin/../bin/sh -c ls",
        "'ls ' x",
        "",
        "ls 'unbalanced",
    ],
)
async def test_anything_else_is_refused(context: BuildContext, line: str) -> None:
    (context.workdir / "ls").symlink_to("/bin/sh")

    answer = await call(tool(context, allowed_commands=["ls"]), command=line)

    assert answer.outcome == "retried"


async def test_a_link_with_an_allowed_name_is_not_the_allowed_program(context: BuildContext) -> None:
    fake = context.workdir / "ls"
    fake.symlink_to("/bin/sh")

    answer = await call(tool(context, allowed_commands=["ls"]), command=f"{fake} -c id")

    assert answer.outcome == "retried"


async def test_an_allowed_program_may_be_written_with_its_path(context: BuildContext) -> None:
    answer = await call(tool(context, allowed_commands=["ls"]), command="/bin/ls /")

    assert answer.content["exit_code"] == 0


# --- The document ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"command": ""},
        {"command": "ls {path}"},
        {"command": "ls", "parameters": {"path": TEXT}},
        {"command": "{program}", "parameters": {"program": TEXT}},
        {"command": "ls", "allowed_commands": ["ls"]},
        {"allowed_commands": ["ls"], "parameters": {"path": TEXT}},
        {"command": "login ${secret:TOKEN}"},
        {"command": "ls {path}", "parameters": {"path": {"type": "sting"}}},
        {"command": "ls", "env": {"A=B": "c"}},
        {"command": "ls 'unbalanced"},
    ],
)
def test_a_command_that_cannot_work_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CommandSpec.model_validate({"type": "command", **spec})


def test_braces_that_are_text_can_be_written(context: BuildContext) -> None:
    spec = CommandSpec.model_validate({"type": "command", "command": "echo {{name}} {a,b} ${HOME}"})

    assert spec.command == ["echo", "{{name}}", "{a,b}", "${HOME}"]

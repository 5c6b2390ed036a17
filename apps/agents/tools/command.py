"""`type: command`: a program, run without a shell in the App's directory, that dies with the call.

With `command` the document fixes the program and its arguments; a `{name}` in an argument takes that parameter's
value, whatever it holds, within that one argument. An argument that is nothing but a value may not begin with `-`,
lest it be taken for an option, unless an argument `--` stands before it.

Without `command` the model writes the command line. It is split into words as a shell would split it and run without
one, so pipes, redirections and variables mean nothing. The program must be one of `allowed_commands`: found by its
name on `PATH`, or written with the absolute path that the allowed name is found at. Note what an allowed program can
do by itself: `git` runs hooks, `find` has `-exec`.

The environment is `PATH`, `HOME` (the App's directory), `LANG` and what `env` adds. A non-zero exit is an answer that
the model reads, with the output of both streams.
"""

from __future__ import annotations

import re
import shlex
import shutil
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import Field, field_validator, model_validator

from apps.agents import registry
from apps.agents.tools import processes, programs
from apps.agents.tools.outcomes import Refused
from apps.agents.tools.parameters import Parameters, Template

if TYPE_CHECKING:
    from pydantic_ai.toolsets import AbstractToolset

_MEGABYTE: Final = 1024 * 1024
_REFERENCE: Final = re.compile(r"\$\{(secret|env):")
_TERMINAL: Final = Parameters(
    {"command": {"type": "string", "description": "The program and its arguments; no shell reads them."}}
)


class CommandLimits(registry.Spec):
    """Processor time, address space and the size of a file, in seconds and megabytes."""

    cpu: registry.Duration = 900.0
    memory: int = Field(default=4096, ge=16)
    file_size: int = Field(default=1024, ge=0)


class CommandSpec(registry.ToolSpec):
    command: list[str] | None = None
    parameters: dict[str, dict[str, Any]] = {}
    allowed_commands: list[str] = []
    env: programs.Variables = {}
    limits: CommandLimits = CommandLimits()

    @field_validator("command", mode="before")
    @classmethod
    def _words(cls, command: object) -> object:
        return shlex.split(command) if isinstance(command, str) else command

    @model_validator(mode="after")
    def _is_one_form(self) -> Self:
        if self.command is None:
            if not self.allowed_commands:
                raise ValueError("give a `command`, or the `allowed_commands` that the model may run")
            if self.parameters:
                raise ValueError("`parameters` fill the placeholders of a `command`, and there is none")
            return self
        if self.allowed_commands:
            raise ValueError("`allowed_commands` is for a tool without `command`")
        self._check_command(self.command)
        return self

    def _check_command(self, command: list[str]) -> None:
        if not command or not command[0]:
            raise ValueError("the command is empty")
        if any(_REFERENCE.search(item) for item in command):
            raise ValueError("every process can read a command line: hand a secret over in `env`")
        Parameters(self.parameters)
        first, *templates = map(Template.parse, command)
        if first.names:
            raise ValueError("the program itself cannot be a parameter")
        used = {name for template in templates for name in template.names}
        if unknown := used - self.parameters.keys():
            raise ValueError(f"{{{min(unknown)}}} is no parameter (for the text itself write {{{{{min(unknown)}}}}})")
        if unused := self.parameters.keys() - used:
            raise ValueError(f"the command does not use the parameter {min(unused)}")


class Command:
    """The calls of one command tool."""

    def __init__(self, spec: CommandSpec, context: registry.BuildContext) -> None:
        self._spec = spec
        self._context = context
        self._templates = [Template.parse(item) for item in spec.command or ()]
        limits = spec.limits
        self._limits = processes.Limits(
            cpu=max(1, round(limits.cpu)), memory=limits.memory * _MEGABYTE, file_size=limits.file_size * _MEGABYTE
        )

    async def run(self, arguments: dict[str, Any]) -> dict[str, Any]:
        env = programs.environment(self._spec.env, self._context)
        if self._templates:
            argv = self._fixed(arguments, env["PATH"])
        else:
            argv = self._chosen_by_the_model(arguments["command"], env["PATH"])
        ended = await processes.run(argv, cwd=self._context.workdir, env=env, limits=self._limits)
        return {"exit_code": ended.exit_code, "output": ended.output}

    def _fixed(self, arguments: dict[str, Any], path: str) -> list[str]:
        program = self._templates[0].fill({})
        argv = [programs.locate(program, self._context, path)]
        for template in self._templates[1:]:
            item = template.fill(arguments)
            if (
                template.is_one_placeholder
                and isinstance(arguments[template.names[0]], str)
                and item.startswith("-")
                and "--" not in argv
            ):
                raise Refused(f"{template.names[0]} may not begin with '-'")
            argv.append(item)
        return argv

    def _chosen_by_the_model(self, line: str, path: str) -> list[str]:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise Refused(f"the command line cannot be split into words: {error}") from error
        if not words:
            raise Refused("the command line is empty")
        allowed = {
            programs.place(found) for name in self._spec.allowed_commands if (found := shutil.which(name, path=path))
        }
        program = words[0]
        relative = "/" in program and not program.startswith("/")
        found = None if relative else shutil.which(program, path=path)
        if found is None or programs.place(found) not in allowed:
            raise Refused(f"{program} is not allowed here; allowed are: {', '.join(self._spec.allowed_commands)}")
        return [programs.place(found), *words[1:]]


def build(name: str, spec: CommandSpec, context: registry.BuildContext) -> AbstractToolset[Any]:
    from apps.agents.tools.toolset import OneTool

    if spec.command is None:
        described = f"Runs a command line without a shell. Programs: {', '.join(spec.allowed_commands)}."
        parameters = _TERMINAL
    else:
        described = f"Runs {shlex.join(spec.command)}."
        parameters = Parameters(spec.parameters)
    return OneTool(name, spec, parameters, Command(spec, context).run, description=described)


def register() -> None:
    registry.register_tool_type(registry.ToolType("command", CommandSpec, build))

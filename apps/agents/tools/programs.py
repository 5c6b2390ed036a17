"""Where a program that a document names is found, and the environment it gets."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator

from apps.agents.registry import BuildContext
from apps.agents.tools.outcomes import CallFailed

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _names(env: dict[str, str]) -> dict[str, str]:
    for name in env:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise ValueError(f"{name!r} cannot be the name of a variable")
    return env


Variables = Annotated[dict[str, str], AfterValidator(_names)]


def environment(variables: Mapping[str, str], context: BuildContext) -> dict[str, str]:
    """Nothing of the worker's own environment; the document's variables with their references resolved."""
    own = {name: context.resolve(value) for name, value in variables.items()}
    return {"PATH": PATH, "HOME": str(context.workdir), "LANG": "C.UTF-8"} | own


def locate(program: str, context: BuildContext, path: str) -> str:
    """The absolute path of a name on `path`, or of a path, relative to the App's directory and then within it.

    Raises CallFailed where there is none that can be run.
    """
    if "/" not in program:
        found = shutil.which(program, path=path)
        if found is None:
            raise _not_there(program)
        return place(found)
    file = context.workdir / program
    inside = file.resolve().is_relative_to(context.workdir.resolve())
    if not (inside or program.startswith("/")) or not file.is_file() or not os.access(file, os.X_OK):
        raise _not_there(program)
    return place(file)


def place(program: str | Path) -> str:
    """Where a program lies: links in its directory are followed, the last one is not.

    On systems where one binary is many programs (BusyBox), a name's target says nothing about what it does.
    """
    path = Path(program)
    return str(path.parent.resolve() / path.name)


def _not_there(program: str) -> CallFailed:
    return CallFailed(f"{program} is not there or cannot be run")

"""Where an App keeps files: a directory of its own on every host that runs its tools.

Its name has the App's id, so an App never finds the files of a former one of the same name. A deleted App leaves a note
(`Remains`), by which every host that has its directory removes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from apps.tenancy.models import App, Remains


def directory_name(app: App) -> str:
    return f"{app.name}-{app.pk}"


def workdir(app: App) -> Path:
    """The App's own directory, made on first use, closed to other users of the host."""
    path = Path(settings.HECTOR_WORK_DIR) / directory_name(app)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def remains() -> list[Path]:
    """What this host still has of deleted Apps."""
    root = Path(settings.HECTOR_WORK_DIR)
    here = {path.name for path in root.iterdir()} if root.exists() else set()
    return [root / name for name in Remains.objects.values_list("directory", flat=True) if name in here] if here else []


def remove(paths: Iterable[Path]) -> None:
    """Removes directories with what is in them; what cannot be removed now is, at another try."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)

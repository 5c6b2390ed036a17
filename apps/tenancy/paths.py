"""Where an App keeps files."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.conf import settings


def workdir(app_name: str) -> Path:
    """The App's own directory, made on first use, closed to other users of the host."""
    path = _path(app_name)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def remove_workdir(app_name: str) -> None:
    """Removes it from this host, with what is in it."""
    shutil.rmtree(_path(app_name), ignore_errors=True)


def _path(app_name: str) -> Path:
    return Path(settings.HECTOR_WORK_DIR) / app_name

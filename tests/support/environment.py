"""The environment of a test run, set before Django's settings are read (`tests.support.settings` imports this first).

`HECTOR_TEST_DATABASE` says where the tests run:
- unset: on SQLite, in a directory of this process;
- `embedded`: on a PostgreSQL server started for this run;
- `postgres://…`: on that server. The databases made there are named `hector_test_…` and dropped at the end.

Under xdist each worker has databases of its own, all on the server that the first process has started.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

SECRETS = {
    "HECTOR_AUTH_SECRET": "operator-secret-of-the-tests",
    "HECTOR_SECRET_KEY": "django-secret-of-the-tests",
    "HECTOR_ENCRYPTION_KEYS": "encryption-key-of-the-tests",
}


def _scratch() -> Path:
    """A directory that is removed when this very process ends (and not when a forked child does)."""
    path, owner = Path(tempfile.mkdtemp(prefix="hector-test-")), os.getpid()
    atexit.register(lambda: shutil.rmtree(path, ignore_errors=True) if os.getpid() == owner else None)
    return path


def server_url() -> str | None:
    """The PostgreSQL server to test on; None means SQLite. Processes started from here on inherit it."""
    if os.environ.get("HECTOR_TEST_DATABASE") == "embedded":
        from tests.support import postgresql

        server = postgresql.start(SCRATCH, synchronous_commit="off")
        os.environ["HECTOR_TEST_DATABASE"] = str(server.get_uri())
    return os.environ.get("HECTOR_TEST_DATABASE") or None


def on_server(server: str, database: str) -> str:
    """The URL of a database of that server."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


SCRATCH = _scratch()
SERVER = server_url()
DATABASE = f"hector_test_{os.getpid()}"
URL = on_server(SERVER, DATABASE) if SERVER else f"sqlite://{SCRATCH}/home/hector.db"

for name in [name for name in os.environ if name.startswith("HECTOR_") and name != "HECTOR_TEST_DATABASE"]:
    del os.environ[name]
os.environ |= SECRETS | {"HECTOR_HOME": str(SCRATCH / "home"), "HECTOR_DATABASE": URL}

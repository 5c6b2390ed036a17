"""What happens before the first request and the first task: migrations, the configuration, the console's user."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from apps.accounts.console_user import ensure_console_user
from apps.agents.config import apply as revisions
from apps.agents.config.faults import ConfigInvalid
from apps.agents.models import Agent
from apps.ops.checks import refuse_contradictions
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from apps.tenancy.models import DEFAULT_APP
from hector_site import VERSION, orphans
from hector_site.database import masked
from hector_site.env import BadSetting
from hector_site.home import home

DEFAULT_FILE = "hector.yaml"
DEMO = settings.BASE_DIR / "hector_demo" / "app.yaml"
log = structlog.get_logger(__name__)


def prepare() -> None:
    """Checks the settings and migrates; safe in any number of processes at once.

    Raises BadSetting for what somebody set wrongly. Under `hector serve` the parent has done it already.
    """
    if orphans.supervised():
        return
    refuse_contradictions()
    try:
        connection.ensure_connection()
    except (DatabaseError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BadSetting(f"the database {masked(settings.HECTOR_DATABASE)} cannot be used: {masked(reason)}") from None
    lifecycle.migrate_all()


class ConfigFile:
    """The document that `hector serve` puts in force for the default App: the file named, hector.yaml, or the demo."""

    def __init__(self) -> None:
        named = settings.HECTOR_CONFIG or (DEFAULT_FILE if Path(DEFAULT_FILE).exists() else "")
        self.path = Path(named) if named else None
        self._seen = self._stamp()
        if settings.HECTOR_WATCH and self.path is None:
            raise BadSetting("--watch has no file to watch: name one with --config")

    def load(self) -> None:
        """Applies the file; the demo only if nothing was ever applied. Raises BadSetting for one that is refused."""
        app = lifecycle.get(DEFAULT_APP)
        if self.path is None and revisions.current(app) is not None:
            return
        path = self.path or DEMO
        try:
            revisions.apply(app, path.read_text("utf-8"), by="hector serve", from_command_line=True)
        except OSError as error:
            raise BadSetting(f"the configuration {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BadSetting(f"the configuration {path} cannot be read: it is not UTF-8 text") from None
        except ConfigInvalid as invalid:
            places = "\n".join(f"  {path}{f':{fault.line}' if fault.line else ''} {fault}" for fault in invalid.faults)
            raise BadSetting(f"the configuration {path} is refused:\n{places}") from None

    def reload_if_changed(self) -> None:
        """With --watch: applies the file when it is another; one that is refused leaves the old one in force."""
        if not settings.HECTOR_WATCH or (stamp := self._stamp()) == self._seen or stamp is None:
            return
        self._seen = stamp
        try:
            self.load()
            log.info("config_applied", file=str(self.path))
        except (BadSetting, revisions.RevisionConflict) as error:
            log.error("config_refused", file=str(self.path), reason=str(error))
        except DatabaseError as error:
            self._seen = None  # again at the next look
            log.error("config_not_applied", file=str(self.path), reason=str(error))
        finally:
            connection.close()

    def _stamp(self) -> tuple[int, int, int] | None:
        with contextlib.suppress(OSError):
            if self.path is not None:
                found = self.path.stat()
                return found.st_ino, found.st_size, found.st_mtime_ns
        return None


def greeting() -> str:
    """What `hector serve` prints: where to look, and on the first start the console's password and a first request."""
    base = f"http://{_shown_host()}:{settings.HECTOR_PORT}"
    user, password = ensure_console_user()
    lines = ["", f"  Hector {VERSION}", "", f"  Console     {base}/admin/"]
    if password is None:
        return "\n".join([*lines, f"  API         {base}/docs", ""])
    secret = _secret_source()
    lines += [
        f"  User        {user}",
        f"  Password    {password}    (shown once; change it in the console)",
        f"  API         {base}/docs",
        f"  API secret  {secret[0]}",
        "",
    ]
    if agent := _some_agent():
        lines += [
            "  A first task:",
            "",
            f"    curl -sS {base}/tasks \\",
            f'      -H "Authorization: Bearer {secret[1]}" \\',
            '      -H "Content-Type: application/json" -H "Prefer: wait=30" \\',
            f"""      -d '{{"agent": "{agent}", "input": "Hello"}}'""",
            "",
        ]
    return "\n".join(lines)


def _shown_host() -> str:
    host = settings.HECTOR_HOST
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 (compared, not bound)
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _secret_source() -> tuple[str, str]:
    """Where the operator secret is, and how a shell writes it."""
    path = home() / "secret"
    if not path.exists() or path.read_text().strip() != settings.HECTOR_AUTH_SECRET:
        return "the one you set (HECTOR_AUTH_SECRET)", "$HECTOR_AUTH_SECRET"
    shown = str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
    return shown, f"$(cat {shlex.quote(shown)})"


def _some_agent() -> str | None:
    with in_app(DEFAULT_APP):
        return Agent.objects.order_by("name").values_list("name", flat=True).first()

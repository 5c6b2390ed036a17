"""What changes of limits and budgets do to the tasks that they hold up."""

from __future__ import annotations

from typing import Any

from apps.quotas import rules
from apps.tasks import lifecycle as tasks
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from apps.tenancy.models import App


def set_limits(app: App, asked: dict[str, Any], *, by: str, reason: str = "") -> App:
    """Changes the App's limits, of the resources that `asked` names; the App as it is then.

    What a budget has put off goes on, as far as it may now. Raises AppNotFound.
    """
    app = lifecycle.change(app, by=by, reason=reason, limits=rules.changed(app.limits, asked))
    rules.forget()
    if app.status != App.Status.DELETING:
        with in_app(app):
            tasks.call_forward(app)
    return app

"""Making an App together with its first configuration: both, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.agents.config.apply import apply
from apps.agents.config.checks import validate
from apps.quotas import rules
from apps.tenancy import lifecycle
from apps.tenancy.models import App


def create_app(
    name: str,
    *,
    by: str,
    config: str | dict[str, Any] | None = None,
    weight: int = 1,
    max_concurrent: int | None = None,
    display_name: str = "",
    limits: Mapping[str, Any] | None = None,
) -> App:
    """Raises what `lifecycle.create` and `apply` do, and then has left nothing behind."""
    if config is not None:
        validate(config)  # before there is anything to undo
    app = lifecycle.create(
        name,
        by=by,
        weight=weight,
        max_concurrent=max_concurrent,
        display_name=display_name,
        limits=rules.changed({}, limits or {}),
    )
    if config is not None:
        try:
            apply(app, config, by=by, expected_revision=0)
        except BaseException:  # a signal that ends the process, too: both or nothing
            lifecycle.delete(app, by=by)
            raise
    return app

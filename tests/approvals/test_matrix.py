"""Every situation is shown through every surface."""

from __future__ import annotations

import importlib

from tests.approvals.matrix import CELLS, shown

TESTS = (
    "tests.approvals.test_surfaces",
    "tests.console.browser.test_deciding",
    "tests.console.browser.test_inbox",
    "tests.execution.test_deciding_in_runs",
)


def test_every_situation_is_shown_through_every_surface() -> None:
    for module in TESTS:
        importlib.import_module(module)
    assert CELLS - shown.keys() == set()

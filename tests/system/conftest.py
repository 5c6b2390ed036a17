"""Sites: installations that the test process looks into while their workers run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker, Settings

from tests.support.installation import Installation
from tests.support.starter import Starter
from tests.system.site import Site


@pytest.fixture
def site_with(
    installation: Installation, starter: Starter, django_db_blocker: DjangoDbBlocker, settings: Settings
) -> Iterator[Callable[[dict[str, Any]], Site]]:
    """Makes the site whose agents are those of a document."""
    settings.HECTOR_FUNCTION_ALLOW = ["tests.system"]
    with django_db_blocker.unblock():
        yield lambda document: Site(installation, starter, document)

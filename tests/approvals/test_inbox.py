"""An inbox finds its own however much waits for others. (Measured: `python -m bench approvals-waiting`.)"""

from __future__ import annotations

import pytest

from apps.approvals import inbox
from apps.tenancy.models import App
from tests.support.people import ANNA


@pytest.mark.sampled("sqlite")
def test_what_waits_for_others_is_passed_over_in_the_index_alone(app: App, on_postgresql: bool) -> None:
    if on_postgresql:
        pytest.skip("its plan hangs on how much there is")
    for found in (inbox.mine(ANNA), inbox.team(ANNA)):
        plan = found.order_by().values("pk")[:1000].explain()
        looked, *asked = plan.splitlines()
        assert "USING COVERING INDEX approval_inbox" in looked
        # Whom a policy names is looked up once for all; the person's own decisions once for each that is left.
        assert "CORRELATED" not in asked[0]

"""A pool's connection belongs to one App after the other, and never takes the former one's schema along."""

from __future__ import annotations

import pytest

from tests.support import environment
from tests.support.installation import Installation

pytestmark = pytest.mark.skipif(environment.SERVER is None, reason="SQLite has no pool")

TURNS = """
import threading
from collections import defaultdict
from django.db import ProgrammingError, connection
from apps.agents.models import Revision
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app

lifecycle.create("acme", by="tests")
connection.close()
visited, wrong = defaultdict(set), []

def visit(name, turn):
    with in_app(name):
        before = set(Revision.objects.values_list("author", flat=True))
        wrong.extend(before - {name})
        Revision.objects.create(number=turn, document={}, author=name)
        visited[connection.connection.info.backend_pid].add(name)
        connection.close()  # inside: it goes back to the pool with the App's search_path

for turn, name in enumerate(["acme", "default", "default", "acme", "acme", "default"]):
    thread = threading.Thread(target=visit, args=(name, turn))
    thread.start()
    thread.join()
assert {"acme", "default"} in visited.values(), "no connection was in both Apps"
assert not wrong, wrong
try:
    Revision.objects.exists()
except ProgrammingError:
    print("there is no such table outside of the Apps")
"""


def test_a_connection_handed_to_another_thread_is_in_that_threads_app(installation: Installation) -> None:
    output = installation.python(TURNS, HECTOR_ROLE="web", HECTOR_DATABASE_POOL="2")
    assert output.splitlines()[-1] == "there is no such table outside of the Apps"


CUT = """
import threading
import psycopg
from django.conf import settings
from django.db import ProgrammingError, connection
from apps.tenancy import lifecycle

def used():
    lifecycle.get("default")
    pid = connection.connection.info.backend_pid
    connection.close()  # it goes back to the pool
    return pid

ended = {used() for _ in range(4)}
with psycopg.connect(**{k: v for k, v in connection.get_connection_params().items() if k in
                        ("dbname", "user", "password", "host", "port")}, autocommit=True) as other:
    for pid in ended:
        other.execute("SELECT PG_TERMINATE_BACKEND(%s, 5000)", [pid])
print(used() not in ended)
"""


def test_a_connection_that_the_server_has_ended_is_replaced_before_it_is_used(installation: Installation) -> None:
    output = installation.python(CUT, HECTOR_ROLE="web", HECTOR_DATABASE_POOL="2")
    assert output.splitlines()[-1] == "True"

"""The backends under processes: many Apps with few file handles, and forks."""

from __future__ import annotations

from tests.support.installation import Installation

MANY = """
import resource, threading
from django.db import connection, connections
from apps.tenancy.connection import in_schema

names = [f"app_x{number}" for number in range(200)]
for name in names:
    connection.schemas.create(name)
resource.setrlimit(resource.RLIMIT_NOFILE, (500, 500))

visits = []
def visit_all(fill=False):
    for name in names:
        with in_schema(name), connection.cursor() as cursor:
            if fill:
                cursor.execute("CREATE TABLE mine (name TEXT)")
                cursor.execute("INSERT INTO mine VALUES (%s)", [name])
            cursor.execute("SELECT name FROM mine")
            assert cursor.fetchall() == [(name,)]
            cursor.execute("SELECT count(*) FROM tenancy_app")
            visits.append(name)
    connections.close_all()

visit_all(fill=True)
threads = [threading.Thread(target=visit_all) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("visits", len(visits))
"""

FORK = """
import os
from django.db import connection, transaction
from apps.agents.models import Revision
from apps.tenancy.context import in_app
from apps.tenancy import lifecycle

lifecycle.create("acme", by="tests")
Revision_numbers = lambda: sorted(Revision.objects.values_list("number", flat=True))
with in_app("acme"):
    Revision.objects.create(number=1, document={})
with in_app("default"):
    Revision.objects.create(number=2, document={})
    inherited = connection.connection
    assert inherited is not None
    child = os.fork()
    if child == 0:
        ok = False
        try:
            assert connection.connection is None  # the child has opened nothing yet
            assert Revision_numbers() == [2]
            assert connection.connection is not inherited
            with in_app("acme"):
                Revision.objects.create(number=3, document={})
            connection.close()
            ok = True
        finally:
            os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert connection.connection is inherited  # and still good
    with transaction.atomic():
        Revision.objects.create(number=4, document={})
    assert Revision_numbers() == [2, 4]
with in_app("acme"):
    assert Revision_numbers() == [1, 3]
print("done")
"""


def test_two_hundred_apps_need_few_file_handles(installation: Installation) -> None:
    assert installation.python(MANY).splitlines()[-1] == "visits 1800"


def test_a_forked_child_opens_connections_of_its_own_and_leaves_its_parents_alone(installation: Installation) -> None:
    assert installation.python(FORK).splitlines()[-1] == "done"


def test_a_forked_child_leaves_its_parents_pool_alone(installation: Installation, on_postgresql: bool) -> None:
    assert installation.python(FORK, HECTOR_ROLE="web", HECTOR_DATABASE_POOL="2").splitlines()[-1] == "done"

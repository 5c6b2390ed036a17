"""The specs of versions, each read once per process: a version never changes, and its digest names its content."""

from __future__ import annotations

from collections.abc import Mapping

from apps.agents.config.spec import AgentSpec
from apps.agents.models import AgentVersion
from apps.queue import sql

_MOST = 1000  # beyond that many, all are forgotten and read again
_read: dict[str, AgentSpec] = {}


def version_of(agent: str) -> AgentVersion | None:
    """The version that new tasks of the agent get, without its spec; None if there is no such agent.

    Asked for each task that is submitted, so it is said in SQL, which takes a third of the time.
    """
    rows = sql.fetch(
        "SELECT version.id, version.digest FROM agents_agent agent"
        " JOIN agents_agentversion version ON version.id = agent.version_id WHERE agent.name = %s",
        [agent],
    )
    return AgentVersion.from_db(AgentVersion.objects.db, ["id", "digest"], rows[0]) if rows else None


def spec_of(version: AgentVersion) -> AgentSpec:
    """Reads `version.spec` (which a query may defer) only if this process has not seen the version yet."""
    spec = _read.get(version.digest)
    if spec is None:
        if len(_read) >= _MOST:
            _read.clear()
        spec = _read[version.digest] = AgentSpec.model_validate(version.spec)
    return spec


def specs_of(versions: Mapping[str, int]) -> dict[str, AgentSpec]:
    """The specs by digest, from digests with the keys of their versions; asks only for those not seen yet."""
    known = {digest: spec for digest in versions if (spec := _read.get(digest)) is not None}
    unseen = [pk for digest, pk in versions.items() if digest not in known]
    if unseen:
        known |= {version.digest: spec_of(version) for version in AgentVersion.objects.filter(pk__in=unseen)}
    return known

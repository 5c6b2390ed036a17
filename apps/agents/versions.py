"""The specs of versions, each read once per process: a version never changes, and its digest names its content."""

from __future__ import annotations

from apps.agents.config.spec import AgentSpec
from apps.agents.models import AgentVersion

_MOST = 1000  # beyond that many, all are forgotten and read again
_read: dict[str, AgentSpec] = {}


def spec_of(version: AgentVersion) -> AgentSpec:
    """Reads `version.spec` (which a query may defer) only if this process has not seen the version yet."""
    spec = _read.get(version.digest)
    if spec is None:
        if len(_read) >= _MOST:
            _read.clear()
        spec = _read[version.digest] = AgentSpec.model_validate(version.spec)
    return spec

"""Applying a document: whole or not at all, numbered, declarative, never over what somebody did not see."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection

from apps.agents.config import apply as revisions
from apps.agents.config.apply import RevisionConflict, UnknownRevision, apply, rollback
from apps.agents.config.faults import ConfigInvalid
from apps.agents.config.spec import AgentSpec, digest
from apps.agents.models import Agent, AgentVersion, Revision
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from apps.tenancy.models import App


def document(instruction: str = "Answer.", **agents: Any) -> dict[str, Any]:
    return {
        "llms": {"default": {"provider": "ollama", "model": "small"}},
        "agents": {"assistant": {"instruction": instruction}} | agents,
        "defaults": {"llm": "default"},
    }


def pinned(name: str = "assistant") -> AgentSpec:
    return AgentSpec.model_validate(Agent.objects.get(name=name).version.spec)


def test_applying_makes_a_numbered_revision_and_its_agents(app: App) -> None:
    revision = apply(app, document(), by="ada", comment="A first try")
    assert (revision.number, revision.author, revision.comment) == (1, "ada", "A first try")
    assert revision.document == document()
    assert revisions.current(app) == revision
    assert [(agent.name, agent.type) for agent in Agent.objects.all()] == [("assistant", "llm")]


def test_an_app_without_configuration_has_no_revision(app: App) -> None:
    assert revisions.current(app) is None
    assert revisions.revisions(app) == []
    assert revisions.export(app) == {"version": "2"}


def test_an_apply_that_changes_nothing_makes_no_revision(app: App) -> None:
    first = apply(app, document(), by="ada")
    assert apply(app, document(), by="bob") == first
    assert Revision.objects.count() == 1


def test_agents_that_the_document_no_longer_names_are_removed_and_their_versions_kept(app: App) -> None:
    apply(app, document(helper={"description": "Helps"}), by="ada")
    helper = Agent.objects.get(name="helper").version
    apply(app, document(), by="ada")
    assert [agent.name for agent in Agent.objects.all()] == ["assistant"]
    assert AgentSpec.model_validate(AgentVersion.objects.get(pk=helper.pk).spec).description == "Helps"


def test_an_agent_that_changes_gets_a_new_version_and_the_others_keep_theirs(app: App) -> None:
    apply(app, document(helper={}), by="ada")
    before = {agent.name: agent.version for agent in Agent.objects.all()}
    apply(app, document("Answer briefly.", helper={}), by="ada")
    after = {agent.name: agent.version for agent in Agent.objects.all()}
    assert after["helper"] == before["helper"]
    assert after["assistant"] != before["assistant"]
    assert pinned().instruction == "Answer briefly."


def test_a_version_is_stored_once_for_the_same_content(app: App) -> None:
    for instruction in ("one", "two", "one"):
        apply(app, document(instruction), by="ada")
    assert AgentVersion.objects.count() == 2
    assert Revision.objects.count() == 3


def test_a_version_has_everything_that_the_agent_refers_to_and_its_digest(app: App) -> None:
    apply(
        app,
        {
            "llms": {
                "big": {"provider": "ollama", "model": "big", "fallback": "small"},
                "small": {"provider": "ollama", "model": "small", "timeout": "5s"},
            },
            "tools": {
                "count": {"type": "command", "command": ["wc", "-w"], "idempotent": True},
                "unused": {"type": "command", "command": ["true"]},
            },
            "agents": {"a": {"llm": "big", "tools": ["count"], "limits": {"tokens": 100}, "timeout": "1m"}},
        },
        by="ada",
    )
    version = Agent.objects.get(name="a").version
    spec = AgentSpec.model_validate(version.spec)
    assert [llm.model for llm in spec.llms] == ["big", "small"]
    assert spec.llms[1].timeout == 5
    assert {name: tool.idempotent for name, tool in spec.tools.items()} == {"count": True}
    assert (spec.limits.tokens, spec.timeout) == (100, 60)
    assert digest(spec) == version.digest


def test_the_order_of_keys_is_kept(app: App) -> None:
    """A model fills in a result in the order in which its schema names the properties."""
    properties = {name: {"type": "string"} for name in ("reasoning", "a", "verdict")}
    found = document(judge={"output_schema": {"type": "object", "properties": properties}})
    apply(app, found, by="ada")
    schema = pinned("judge").output_schema
    assert schema is not None
    assert list(schema["properties"]) == ["reasoning", "a", "verdict"]
    assert list(revisions.export(app)) == ["llms", "agents", "defaults"]


def test_a_version_of_a_former_hector_is_read_with_what_it_no_longer_knows() -> None:
    spec = AgentSpec.model_validate(
        {
            "name": "a",
            "type": "llm",
            "llms": [{"provider": "ollama", "model": "m", "was_once": 1}],
            "tools": {"count": {"type": "command", "command": ["wc"], "was_once": {"x": 1}}},
            "limits": {"tokens": 5},
            "was_once": True,
        }
    )
    assert (spec.llms[0].model, list(spec.tools), spec.limits.tokens) == ("m", ["count"], 5)


def test_secrets_stay_references_in_all_that_is_stored(app: App) -> None:
    found = document()
    found["llms"]["default"] |= {"api_key": "${secret:KEY}"}
    revision = apply(app, found, by="ada")
    stored = AgentVersion.objects.get()
    assert revision.document["llms"]["default"]["api_key"] == stored.spec["llms"][0]["api_key"] == "${secret:KEY}"


def test_a_document_with_faults_changes_nothing(app: App) -> None:
    apply(app, document(), by="ada")
    with pytest.raises(ConfigInvalid):
        apply(app, document("Other.", broken={"llm": "gone"}), by="ada")
    assert Revision.objects.count() == 1
    assert pinned().instruction == "Answer."


def test_an_author_who_did_not_see_the_newest_revision_is_refused(app: App) -> None:
    apply(app, document("one"), by="ada", expected_revision=0)
    apply(app, document("two"), by="bob", expected_revision=1)
    with pytest.raises(RevisionConflict) as caught:
        apply(app, document("three"), by="ada", expected_revision=1)
    assert (caught.value.found, caught.value.expected) == (2, 1)
    assert pinned().instruction == "two"


def test_of_two_applies_at_once_one_is_refused(app: App, transactional_db: None) -> None:
    outcomes: list[str] = []
    ready = Barrier(2, timeout=30)

    def author(name: str) -> None:
        try:
            ready.wait()
            apply(lifecycle.get("acme"), document(name), by=name, expected_revision=0)
            outcomes.append(name)
        except RevisionConflict:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [Thread(target=author, args=(name,)) for name in ("ada", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "refused" in outcomes
    assert len(set(outcomes)) == 2
    (winner,) = set(outcomes) - {"refused"}
    assert Revision.objects.get().author == pinned().instruction == winner


def test_rolling_back_puts_the_former_document_in_force_as_a_new_revision(app: App) -> None:
    apply(app, document("one"), by="ada")
    apply(app, document("two", helper={}), by="ada")
    revision = rollback(app, 1, by="bob")
    assert (revision.number, revision.author, revision.comment) == (3, "bob", "Rolls back to revision 1")
    assert revision.document == document("one")
    assert pinned().instruction == "one"
    assert not Agent.objects.filter(name="helper").exists()


def test_rolling_back_to_a_revision_that_is_not_there_is_refused(app: App) -> None:
    with pytest.raises(UnknownRevision):
        rollback(app, 7, by="bob")


def test_a_diff_shows_what_changed_between_two_revisions(app: App) -> None:
    first = apply(app, document("Answer.\nBe kind."), by="ada")
    second = apply(app, document("Answer.\nBe brief."), by="ada")
    changed = revisions.diff(first, second).splitlines()
    assert changed[:2] == ["--- revision 1", "+++ revision 2"]
    assert [line for line in changed[2:] if line[0] in "+-"] == ["-      Be kind.", "+      Be brief."]
    assert revisions.diff(first, first) == ""


def test_revisions_are_listed_newest_first(app: App) -> None:
    for instruction in ("one", "two"):
        apply(app, document(instruction), by="ada")
    assert [revision.number for revision in revisions.revisions(app)] == [2, 1]


def test_each_app_has_revisions_of_its_own(app: App, other_app: App, transactional_db: None) -> None:
    apply(app, document("acme's"), by="ada")
    apply(other_app, document("globex's"), by="bob")
    assert pinned().instruction == "acme's"
    with in_app(other_app):
        assert Revision.objects.get().number == 1
        assert pinned().instruction == "globex's"


def test_only_the_default_app_reads_the_environment_and_only_from_the_command_line(
    app: App, transactional_db: None
) -> None:
    found = document()
    found["llms"]["default"] |= {"api_key": "${env:OPENAI_API_KEY}"}
    default = lifecycle.get("default")
    for target, from_command_line in ((app, True), (default, False)):
        with pytest.raises(ConfigInvalid, match="command line"):
            apply(target, found, by="ada", from_command_line=from_command_line)
    apply(default, found, by="ada", from_command_line=True)
    apply(default, document(), by="ada")
    assert rollback(default, 1, by="ada").document == found

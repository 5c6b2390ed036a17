"""`${secret:NAME}` and `${env:NAME}`: filled with the App's values, and only with those it may have."""

from __future__ import annotations

import pytest

from apps.agents.config.references import EnvironmentMissing, SecretMissing, resolver, secret_names
from apps.tenancy import lifecycle, secrets
from apps.tenancy.models import App

pytestmark = pytest.mark.django_db


def test_a_reference_is_filled_with_the_secret_of_the_app(app: App) -> None:
    secrets.put(app, "KEY", "a${secret:OTHER}$b")
    resolve = resolver(app)
    assert resolve("Bearer ${secret:KEY}!") == "Bearer a${secret:OTHER}$b!"
    assert resolve("${secret:KEY}${secret:KEY}") == "a${secret:OTHER}$b" * 2


def test_text_without_a_reference_stays_as_it_is(app: App) -> None:
    assert resolver(app)("$HOME ${HOME} $5 {x}") == "$HOME ${HOME} $5 {x}"


def test_a_missing_secret_is_a_permanent_error_that_names_it(app: App) -> None:
    with pytest.raises(SecretMissing, match="KEY") as caught:
        resolver(app)("${secret:KEY}")
    assert (caught.value.code, caught.value.retryable) == ("secret_missing", False)


def test_another_apps_secret_is_missing(app: App, other_app: App) -> None:
    secrets.put(other_app, "KEY", "globex's")
    with pytest.raises(SecretMissing):
        resolver(app)("${secret:KEY}")


def test_the_default_app_reads_variables_that_are_on_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    monkeypatch.setenv("UNLISTED", "private")
    resolve = resolver(lifecycle.get("default"))
    assert resolve("${env:OPENAI_API_KEY}") == "from-the-environment"
    for name in ("UNLISTED", "GEMINI_API_KEY_THAT_NOBODY_SET"):
        with pytest.raises(EnvironmentMissing, match=name):
            resolve(f"${{env:{name}}}")


def test_no_other_app_reads_the_environment(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    with pytest.raises(EnvironmentMissing):
        resolver(app)("${env:OPENAI_API_KEY}")


def test_the_secrets_that_a_document_needs_are_known_by_name() -> None:
    assert secret_names({"a": ["x ${secret:ONE} ${secret:TWO}", {"b": "${env:THREE}"}], "c": 1}) == {"ONE", "TWO"}

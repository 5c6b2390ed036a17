"""The demo App: sound, and every agent that it announces is there."""

from __future__ import annotations

import re
from pathlib import Path

from apps.agents.config.checks import validate
from hector_demo import library, shop, text

DEMO = Path(library.__file__).with_name("app.yaml")


def test_the_demo_is_sound_and_needs_no_secret_and_no_network() -> None:
    document = validate(DEMO.read_text())
    assert list(document.agents) == ["assistant", "researcher", "wordcount", "flaky"]
    assert {llm.provider for llm in document.llms.values()} == {"scripted"}


def test_every_model_that_the_comments_offer_is_sound() -> None:
    """Each commented entry, put in the place of `default`."""
    for path in (DEMO, Path("apps/agents/management/starter.yaml")):
        offered = re.findall(r"(?m)^  # (?:default|local):\n(?:  #   .*\n)+", (DEMO.parents[1] / path).read_text())
        assert len(offered) == 2
        for entry in offered:
            lines = [line[4:] for line in entry.splitlines()[1:] if "fallback" not in line]
            validate("llms:\n  default:\n" + "\n".join(f"  {line}" for line in lines))


def test_the_shop_finds_orders() -> None:
    assert shop.lookup_order("a-1042")["status"] == "shipped"
    assert shop.lookup_order("7")["status"] == "unknown"


def test_words_are_counted() -> None:
    assert text.count_words({"text": "to be or not to be"}) == {
        "words": 6,
        "different": 4,
        "most_common": {"to": 2, "be": 2, "or": 1},
    }

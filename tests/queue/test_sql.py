"""Values on their way into the database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.queue import sql


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\x00b", "a�b"),
        ("\\u0000", "\\u0000"),
        ("\\\x00", "\\�"),
        ("\ud800 and \U0001f600", "� and \U0001f600"),
        ({"\x00": ["\x00"]}, {"�": ["�"]}),
    ],
)
def test_what_postgresql_cannot_store_is_replaced_and_nothing_else(value: Any, stored: Any) -> None:
    assert json.loads(sql.js(value)) == stored


STORABLE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.just("\\u0000")


@given(st.recursive(st.none() | st.booleans() | st.integers() | STORABLE, lambda inner: st.lists(inner)))
def test_all_other_json_comes_back_as_it_was(value: Any) -> None:
    assert json.loads(sql.js(value)) == value

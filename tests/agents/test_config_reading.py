"""What is read as a document, and what is refused before anything looks at its content."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.config.faults import ConfigInvalid, Fault
from apps.agents.config.reading import MAX_BYTES, MAX_DEPTH, read
from apps.agents.config.writing import as_yaml

plain_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
storable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_text, inner, max_size=4),
    max_leaves=20,
)
unhurried = settings(deadline=None)


def faults_of(document: Any) -> list[Fault]:
    with pytest.raises(ConfigInvalid) as caught:
        read(document)
    return caught.value.faults


def test_yaml_follows_the_rules_of_1_2() -> None:
    text = "country: no\nswitch: on\nday: 2026-01-31\ntime: 12:30\nseven: 007\nhex: 0x1F\nhalf: .5\nnothing:\nt: true"
    assert read(text).data == {
        "country": "no",
        "switch": "on",
        "day": "2026-01-31",
        "time": "12:30",
        "seven": 7,
        "hex": 31,
        "half": 0.5,
        "nothing": None,
        "t": True,
    }


def test_an_alias_stands_for_what_its_anchor_holds() -> None:
    assert read("a: &same [1, 2]\nb: *same").data == {"a": [1, 2], "b": [1, 2]}


def test_json_is_read_also_with_tabs() -> None:
    assert read('{\n\t"a": 1,\n\t"b": [true, null]\n}').data == {"a": 1, "b": [True, None]}


@unhurried
@given(st.dictionaries(plain_text, storable, max_size=5))
def test_what_can_be_stored_is_read_back_from_json_as_it_was(data: dict[str, Any]) -> None:
    assert read(data).data == data
    assert read(json.dumps(data)).data == data


@unhurried
@given(st.dictionaries(plain_text.filter(lambda key: key != "<<"), storable, max_size=5).filter(bool))
def test_what_is_exported_as_yaml_is_read_back_as_it_was(data: dict[str, Any]) -> None:
    again = read(as_yaml(data)).data
    assert json.dumps(again, sort_keys=True) == json.dumps(data, sort_keys=True)


@pytest.mark.parametrize(
    ("text", "pointer", "words", "line"),
    [
        ("a: 1\nb: 2\na: 3", "/a", "written twice", 3),
        ("x: {a: 1, a: 2}", "/x/a", "written twice", 1),
        ('{"x": {"a": 1, "a": 2}}', "", "written twice", None),
        ("a:\n  1: x", "/a", "Keys are text", 2),
        ("? [a]\n: x", "", "Keys are text", 1),
        ("null: x", "", "Keys are text", 1),
        ("base: &b {x: 1}\nc:\n  <<: *b", "/c", "merge", 3),
        ("a: !!python/object/apply:os.system [id]", "/a", "tag", 1),
        ("a: !mine x", "/a", "tag", 1),
        ("a: !!int many", "/a", "tag", 1),
        ("a: [1, 2\nb: 1", "", "line 2, column 2", None),
        ("a: b: c", "", "line 1, column 5", None),
        ("a: 1\n--- \nb: 2", "", "line 2", None),
        ("a: \x07", "", "not allowed", None),
        ("a: *nowhere", "", "line 1", None),
        ("a: {key: ${secret:X}}", "", "needs quotes", None),
        ("a: 1e999", "/a", "not finite", 1),
        (f"a: {'9' * 6000}", "/a", "too large", 1),
        (f'{{"a": {"9" * 6000}}}', "/a", "too large", None),
        ('{"a": NaN}', "/a", "not finite", None),
        ('{"a": "\\u0000"}', "/a", "cannot be stored", None),
        ('{"a": "\\ud800"}', "/a", "cannot be stored", None),
        ("", "", "empty", None),
        ("# only a comment", "", "empty", None),
        ("null", "", "empty", None),
        ("just text", "", "mapping", None),
        ("[1, 2]", "", "mapping", None),
    ],
)
def test_what_is_refused_says_where_and_why(text: str, pointer: str, words: str, line: int | None) -> None:
    fault = faults_of(text)[0]
    assert (fault.pointer, fault.line) == (pointer, line)
    assert words in fault.detail


def test_all_keys_that_are_written_twice_are_reported() -> None:
    assert [fault.line for fault in faults_of("a: 1\na: 2\nb: {c: 1, c: 2}\n3: x")] == [2, 3, 4]


def test_aliases_that_multiply_are_refused_before_they_do() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "more than" in faults_of("\n".join(lines))[0].detail


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {x: *a}"])
def test_an_alias_to_what_it_is_inside_of_is_refused(text: str) -> None:
    assert len(faults_of(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "a: " + "[" * 100_000, "- " * 50_000, '{"a":' + "[" * 100 + "]" * 100 + "}"],
)
def test_deep_nesting_is_refused(text: str) -> None:
    assert f"deeper than {MAX_DEPTH}" in faults_of(text)[0].detail


def test_a_huge_document_is_refused() -> None:
    assert "larger than" in faults_of("a: " + "x" * MAX_BYTES)[0].detail
    assert "more than" in faults_of({"a": [0] * 60_000})[0].detail


def test_python_values_that_json_lacks_are_refused() -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    assert "deeper" in faults_of(endless)[0].detail
    found = faults_of({"a": math.inf, "b": {1: 2}, "c": b"x", "d": {3}})
    assert [fault.pointer for fault in found] == ["/a", "/b", "/c", "/d"]


@unhurried
@given(st.text() | st.text(alphabet=" \n\t-:{}[]*&!?|>'\"#%@,abc0<=~"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(read(text).data, dict)
    except ConfigInvalid as invalid:
        assert invalid.faults

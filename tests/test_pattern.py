"""Patterns written anew accept no string that the pattern refuses, and name what they cannot express."""

from __future__ import annotations

import pytest

from llama_async._grammar.formats import FORMATS
from llama_async._grammar.pattern import PatternError, translate


@pytest.mark.parametrize(
    ("pattern", "text", "least", "most"),
    [
        ("^abc$", "^abc$", 3, 3),
        (r"^\d{3}$", "^([0-9]){3,3}$", 3, 3),
        ("^a+$", "^(a)+$", 1, None),
        ("^(ab|c)?$", "^((ab|c))?$", 0, 2),
        (r"^a\.b$", r"^a(\.)b$", 3, 3),
        ('^"$', r'^(\\")$', 1, 1),
        (r"^\\$", r"^(\\\\)$", 1, 1),
        (r"^\n$", r"^(\\n)$", 1, 1),
        ("^$", "^$", 0, 0),
        ("^(?:a|b)*?$", "^((a|b))*$", 0, None),
    ],
)
def test_written_anew(pattern: str, text: str, least: int, most: int | None) -> None:
    translated = translate(pattern)
    assert translated.text == text
    assert (translated.min_length, translated.max_length) == (least, most)


def test_a_class_leaves_out_what_ends_a_json_string() -> None:
    plain = r"[\u0020-\u0021\u0023-\u005B\u005D-\u007E\u0080-\u2027\u202A-\uD7FF\uE000-\U0010FFFF]"
    assert translate("^.$").text == f"^{plain}$"
    negated = translate("^[^x]$").text
    assert '"' not in negated
    assert r"\u0022" not in negated
    assert r"\u005C" not in negated


def test_without_anchors_anything_may_surround() -> None:
    assert translate("b").text.startswith("^([")
    assert translate("b").min_length == 1
    assert translate("b").max_length is None
    assert translate("^b").max_length is None
    assert translate("^a$|b").text.startswith("^(a|")


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)",
        "(?<name>a)",
        r"(a)\1",
        r"\bword\b",
        r"\p{L}",
        "a^b",
        "(^a)",
        "(a$)",
        "a{2,1}",
        "a{3000}",
        "a{x}",
        "a{,3}",
        "(a*)*",
        "(",
        ")",
        "[a",
        "[b-a]",
        "*",
        "\\",
        r"\u12",
        r"^[\x00]$",
        "x" * 3000,
        "(" * 100 + "a" + ")" * 100,
    ],
)
def test_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        translate(pattern)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_written(name: str) -> None:
    assert translate(FORMATS[name]).min_length > 0

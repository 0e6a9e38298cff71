"""Patterns are read as both dialects have them, and name what they cannot express."""

from __future__ import annotations

import pytest

from llama_async._grammar.automaton import determined
from llama_async._grammar.formats import FORMATS
from llama_async._grammar.pattern import PatternError, lengths, parse


def test_without_anchors_anything_may_surround() -> None:
    for pattern in ("b", "^b", "b$", "^a$|b"):
        assert lengths(parse(pattern)) == (1, None)
    assert lengths(parse("^b$")) == (1, 1)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("^abc$", "abc", "ab abcd xabc"),
        (r"^\d{3}$", "123 000", "12 1234 12a \u0661\u0662\u0663"),
        ("^a+$", "a aaa", "b ab"),
        ("^(ab|c)?$", "ab c", "abc a"),
        (r"^a\.b$", "a.b", "axb"),
        (r"^[^x-z]$", 'a w "', "x y z"),
        ("^(?:a|b)*?$", "ab ba", "c"),
        ("b", "b abc", "a"),
        (r"^\x41\u0042$", "AB", "ab"),
    ],
)
def test_matches_and_refuses(pattern: str, matching: str, others: str) -> None:
    automaton = determined(parse(pattern))
    assert all(map(automaton.accepts, matching.split()))
    assert not any(map(automaton.accepts, others.split()))


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
        "x" * 3000,
        "(" * 100 + "a" + ")" * 100,
    ],
)
def test_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        parse(pattern)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_written(name: str) -> None:
    least, _ = lengths(parse(FORMATS[name]))
    assert least > 0

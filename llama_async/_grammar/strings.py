"""Shapes of strings, and of the names of members -> expressions of a grammar. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llama_async._errors import shown

from .automaton import Automaton, AutomatonError, counting, determined, words
from .characters import ALL
from .formats import FORMATS, FREE_FORMATS
from .gbnf import NOTHING, Expr, Ref, Repeat, Rules, Then
from .pattern import Expression, PatternError, lengths, parse
from .text import STRING, expression, strings
from .values import MAX_REPEAT, Refused

if TYPE_CHECKING:
    from .shape import Shape

__all__ = ["Condition", "Strings"]

# A set of texts, and whether a text must be in it, or must not.
Condition = tuple[Automaton, bool]


class Strings:
    """Writes the strings of one grammar.

    Args:
        rules: Where rules are added.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._automata: dict[tuple[str, bool], Automaton] = {}

    def write(self, name: str, shape: Shape, place: str) -> Expr:
        """Return the strings of a shape, with their quotes.

        Args:
            name: What the names of rules begin with.
            shape: What is said of the string; other types are not looked at.
            place: Where that stands, for the error.

        Raises:
            Refused: It cannot be enforced.
        """
        least, most = shape.min_length, shape.max_length
        patterns = self._patterns(shape, place)
        is_excluded = any(isinstance(value, str) for value in shape.excluded)
        if not patterns and not is_excluded:
            self._check_lengths(shape, place)
            if most is None:
                return Then(('"\\""', Repeat(Ref("char"), least, least), Ref("text"))) if least else STRING
            return Then(('"\\""', Repeat(Ref("char"), least, most), '"\\""'))
        # One that begins or ends with anything leaves many ways open at once, where its automaton has one.
        is_anchored = len(patterns) == 1 and patterns[0][0].startswith("^") and patterns[0][0].endswith("$")
        if is_anchored and patterns[0][1] and not is_excluded:
            parsed = self._parsed(patterns[0][0], place)
            shortest, longest = lengths(parsed)
            if shortest >= least and (most is None or (longest is not None and longest <= most)):
                return expression(parsed)
        return self._satisfying(name, self._conditions(shape, patterns, place), place)

    def name(self, name: str, shape: Shape, conditions: Iterable[Condition], place: str) -> Expr:
        """Return the names of members that have a shape and satisfy conditions, as `write` does."""
        if "string" not in shape.types:
            return NOTHING
        if shape.values is not None:
            raise Refused(place, "propertyNames of which only some are listed is not supported")
        said = self._conditions(shape, self._patterns(shape, place), place)
        return self._satisfying(name, [*conditions, *said], place)

    def condition(self, pattern: str, wanted: bool, place: str) -> Condition:
        """Return the condition that a text matches a pattern, or does not."""
        return self._automaton(pattern, wanted, place), wanted

    def matches(self, pattern: str, text: str, place: str) -> bool:
        """Whether a text matches a pattern.

        Raises:
            Refused: That depends on who reads the pattern.
        """
        surely = self._automaton(pattern, True, place).accepts(text)
        if surely != self._automaton(pattern, False, place).accepts(text):
            raise Refused(place, f"whether the pattern {shown(pattern)} matches {shown(text)} depends on the dialect")
        return surely

    @staticmethod
    def _check_lengths(shape: Shape, place: str) -> None:
        if max(shape.min_length, shape.max_length or 0) > MAX_REPEAT:
            raise Refused(place, f"minLength and maxLength must be at most {MAX_REPEAT}")

    @staticmethod
    def _patterns(shape: Shape, place: str) -> list[tuple[str, bool]]:
        """Return the patterns that a text has, or has not; formats are patterns."""
        patterns = list(dict.fromkeys(shape.patterns))
        for one in dict.fromkeys(shape.formats):
            if one not in FORMATS and one not in FREE_FORMATS:
                raise Refused(place, f"the format {shown(one)} is not supported")
            if one in FORMATS:
                patterns.append((FORMATS[one], True))
        return patterns

    def _conditions(self, shape: Shape, patterns: list[tuple[str, bool]], place: str) -> list[Condition]:
        self._check_lengths(shape, place)
        conditions = [self.condition(pattern, wanted, place) for pattern, wanted in patterns]
        excluded = [value for value in shape.excluded if isinstance(value, str)]
        if excluded:
            conditions.append((words(excluded), False))
        if shape.min_length or shape.max_length is not None:
            conditions.append((counting(ALL, shape.min_length, shape.max_length), True))
        return conditions

    def _satisfying(self, name: str, conditions: list[Condition], place: str) -> Expr:
        if not conditions:
            return STRING
        try:
            return strings(self._rules, name, conditions) or NOTHING
        except AutomatonError:
            raise Refused(place, "what is said of its text (pattern, format, length) is too complicated") from None

    @staticmethod
    def _parsed(pattern: str, place: str, wide: bool = False) -> Expression:
        try:
            return parse(pattern, wide=wide)
        except PatternError as error:
            raise Refused(place, f"the pattern {shown(pattern)} is not supported: {error}") from None

    def _automaton(self, pattern: str, wanted: bool, place: str) -> Automaton:
        """Return what a pattern surely matches or, where that is not wanted, what it may match."""
        key = (pattern, wanted)
        if key not in self._automata:
            try:
                self._automata[key] = determined(self._parsed(pattern, place, not wanted))
            except AutomatonError:
                raise Refused(place, f"the pattern {shown(pattern)} is too complicated") from None
        return self._automata[key]

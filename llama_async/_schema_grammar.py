r"""A JSON schema -> the grammar of answers that satisfy it, or an error that names what cannot be enforced.

What the grammar accepts may be narrower than the schema, never wider. It is narrower in these ways:

- members come in the order of the schema, and none that it does not list unless `additionalProperties`, or the like, is
  given; of several keywords without a type, the types that they speak of;
- the first items that are listed all come; items after them only where `items` is given;
- numbers have at most 16 digits before and behind the point, with bounds 15 in all and no exponent; multiples are
  integers;
- a string holds no control character but those with an escape of one letter, and at most 40 blanks in a row; what a
  pattern or format constrains has no \u escape; formats are patterns of ours;
- values without a schema nest 16 levels deep.

Pure; results are cached by content.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from threading import Lock
from types import MappingProxyType
from typing import Any

from ._automaton import Automaton, AutomatonError, counting, determined, words
from ._errors import OpenAIError, bad_request, shown
from ._gbnf import NOTHING, Either, Expr, Ref, Repeat, Rules, Then, literal
from ._grammar_members import Between, Hits, Limits, Member, MembersError, containing
from ._grammar_text import NUMBER, SPACE, STRING, VALUE, add_common_rules, between, expression, strings
from ._pattern import FORMATS, FREE_FORMATS, PatternError, lengths, parse
from ._schema_document import Document
from ._schema_numbers import Interval, add_digits, integers, multiples, numbers
from ._schema_reader import SchemaReader
from ._schema_values import MAX_REPEAT, Refused, TooLarge, equal, identity
from ._shape import Child, Contains, Part, Shape

__all__ = ["ANY_OBJECT", "is_compiled", "schema_grammar"]

_MAX_BYTES = 1 << 18
_MAX_TEXT = 1 << 19
_MAX_RULES = 8_000
_MAX_CACHED_BYTES = 1 << 24
_MAX_PATTERNS = 3  # of names in one object: their combinations multiply out


ANY_OBJECT: Mapping[str, Any] = MappingProxyType({"type": "object"})

_CODES = ((0, 0x10FFFF),)


def _schema_text(schema: object, param: str) -> str:
    """Return a schema as JSON, by which it is known.

    Raises:
        BadRequestError: It is no object, not JSON or too large.
    """
    if not isinstance(schema, Mapping):
        raise bad_request(param, f"{param} has the schema {shown(schema)}, but a schema must be an object")
    try:
        text = json.dumps(dict(schema), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise bad_request(param, f"{param} has a schema that is not JSON") from None
    if len(text) > _MAX_BYTES:
        raise bad_request(param, f"{param} has a schema of {len(text)} bytes, but at most {_MAX_BYTES} are supported")
    return text


def schema_grammar(schema: object, param: str) -> str:
    """Return the grammar (GBNF) of a schema.

    Args:
        schema: Any JSON schema of draft 2020-12, or an older one as far as they agree.
        param: The parameter it came with, for the error.

    Raises:
        BadRequestError: It is no schema, is too large, or has a keyword that cannot be enforced.
    """
    outcome = _compiled(_schema_text(schema, param))
    if isinstance(outcome, Refused):
        message = f"{param}: the schema cannot be enforced: {outcome.message} (at {outcome.place})"
        raise bad_request(param, message)
    return outcome


class _Outcomes:
    """The grammars of the schemas that came last, or why they have none, which takes as long to find."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_text: OrderedDict[str, str | Refused] = OrderedDict()
        self._n_bytes = 0

    def get(self, text: str) -> str | Refused | None:
        with self._lock:
            if text in self._by_text:
                self._by_text.move_to_end(text)
            return self._by_text.get(text)

    def put(self, text: str, outcome: str | Refused) -> None:
        with self._lock:
            if text not in self._by_text:
                self._by_text[text] = outcome
                self._n_bytes += _size(text, outcome)
            while self._n_bytes > _MAX_CACHED_BYTES:
                self._n_bytes -= _size(*self._by_text.popitem(last=False))


def _size(text: str, outcome: str | Refused) -> int:
    return len(text) + (len(outcome) if isinstance(outcome, str) else 0) + 500


_outcomes = _Outcomes()


def is_compiled(schema: object) -> bool:
    """Whether `schema_grammar` has nothing left to do but to look up what it found, or refuse, at once."""
    try:
        return _outcomes.get(_schema_text(schema, "schema")) is not None
    except OpenAIError:
        return True


def _compiled(text: str) -> str | Refused:
    outcome = _outcomes.get(text)
    if outcome is None:
        try:
            outcome = _Writer(json.loads(text)).text()
        except RecursionError:
            outcome = TooLarge("#", "it nests too deep")
        except Refused as refused:
            outcome = refused.with_traceback(None)
        _outcomes.put(text, outcome)
    return outcome


@dataclass(frozen=True, slots=True)
class _Keys:
    """The names of members that are not listed.

    Attributes:
        patterns: Patterns that they may match.
        named: What they are not.
        is_open: Whether they need not match any.
    """

    patterns: list[str]
    named: set[str]
    is_open: bool


class _Writer:
    def __init__(self, root: Any) -> None:
        self._document = Document(root)
        self._reader = SchemaReader(self._document)
        self._rules = Rules()
        self._names: dict[tuple[object, ...], str] = {}
        self._todo: list[tuple[str, Child, str]] = []
        self._automata: dict[tuple[str, bool], Automaton] = {}
        self._root = root

    def text(self) -> str:
        add_common_rules(self._rules)
        add_digits(self._rules)
        root = self._child((Part(self._root, True, "#"),), "#")
        while self._todo:
            name, child, place = self._todo.pop()
            try:
                self._rules.by_name[name] = self._union(name, child)
            except MembersError as error:
                raise Refused(place, str(error)) from None
            if len(self._rules.by_name) > _MAX_RULES:
                raise TooLarge(place, f"its grammar has more than {_MAX_RULES} rules")
        text = self._rules.text(root)
        if text is None:
            raise Refused("#", "no value satisfies it")
        if len(text) > _MAX_TEXT:
            raise TooLarge("#", f"its grammar has {len(text)} characters, the limit is {_MAX_TEXT}")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refused("#", "it holds a lone surrogate") from None
        return text

    def _child(self, child: Child, place: str) -> Expr:
        parts = tuple(part for part in dict.fromkeys(child) if part.key != (True, True))
        if not parts:
            return VALUE
        key = tuple(part.key for part in parts)
        if key not in self._names:
            self._names[key] = f"r{len(self._names)}"
            self._todo.append((self._names[key], parts, parts[0].place or place))
        return Ref(self._names[key])

    def _union(self, name: str, child: Child) -> Expr:
        place = child[0].place
        shapes = self._reader.shapes(child)
        return Either(tuple(self._shape(f"{name}-{index}", shape, place) for index, shape in enumerate(shapes)))

    def _shape(self, name: str, shape: Shape, place: str) -> Expr:
        if shape.values is not None:
            return Either(
                tuple(
                    literal(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
                    for value in shape.candidates()
                    if self._allows_more(shape, value, place)
                )
            )
        if shape == Shape(spoken=shape.spoken, is_typed=shape.is_typed):
            return VALUE if shape.is_typed or not shape.spoken else self._typed(name, shape, place)
        return self._typed(name, shape, place)

    def _typed(self, name: str, shape: Shape, place: str) -> Expr:
        writers = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "number": self._number,
            "boolean": self._boolean,
            "null": self._null,
        }
        meant = shape.meant()
        return Either(
            tuple(write(f"{name}{kind[0]}", shape, place) for kind, write in writers.items() if kind in meant)
        )

    # -- numbers and constants

    @staticmethod
    def _null(_name: str, shape: Shape, _place: str) -> Expr:
        return NOTHING if any(value is None for value in shape.excluded) else Ref("null")

    @staticmethod
    def _boolean(_name: str, shape: Shape, _place: str) -> Expr:
        return Either(
            tuple(
                literal(text)
                for text, value in (("true", True), ("false", False))
                if not any(value is other for other in shape.excluded)
            )
        )

    def _number(self, _name: str, shape: Shape, place: str) -> Expr:
        excluded = [v for v in shape.excluded if isinstance(v, (int, float)) and not isinstance(v, bool)]
        intervals = list(_around(shape.interval, excluded))
        if shape.factors:
            if shape.integral is False:
                return NOTHING
            factor = 1
            for one in shape.factors:
                factor = math.lcm(factor, one)
            found = [multiples(self._rules, factor, interval) for interval in intervals]
            if any(one is None for one in found):
                raise Refused(place, f"multipleOf {factor} with these bounds takes too many rules")
            return Either(tuple(one for one in found if one is not None))
        if shape.integral:
            return Either(tuple(map(integers, intervals)))
        if intervals == [Interval()] and shape.integral is None:
            return NUMBER
        fraction = shape.integral is False
        return Either(tuple(numbers(interval, fraction=fraction) for interval in intervals))

    # -- strings

    def _string(self, name: str, shape: Shape, place: str) -> Expr:
        least, most = shape.min_length, shape.max_length
        if max(least, most or 0) > MAX_REPEAT:
            raise Refused(place, f"minLength and maxLength must be at most {MAX_REPEAT}")
        excluded = [value for value in shape.excluded if isinstance(value, str)]
        patterns = [(pattern, wanted) for pattern, wanted in dict.fromkeys(shape.patterns)]
        for one in dict.fromkeys(shape.formats):
            if one in FREE_FORMATS:
                continue
            if one not in FORMATS:
                raise Refused(place, f"the format {shown(one)} is not supported")
            patterns.append((FORMATS[one], True))
        if not patterns and not excluded:
            if most is None:
                return Then(('"\\""', Repeat(Ref("char"), least, least), Ref("text"))) if least else STRING
            return Then(('"\\""', Repeat(Ref("char"), least, most), '"\\""'))
        # One that begins or ends with anything leaves many ways open at once, where its automaton has one.
        is_anchored = len(patterns) == 1 and patterns[0][0].startswith("^") and patterns[0][0].endswith("$")
        if is_anchored and patterns[0][1] and not excluded:
            parsed = self._parsed(patterns[0][0], place)
            shortest, longest = lengths(parsed)
            if shortest >= least and (most is None or (longest is not None and longest <= most)):
                return expression(parsed)
        parts = [(self._automaton(pattern, wanted, place), wanted) for pattern, wanted in patterns]
        if excluded:
            parts.append((words(excluded), False))
        if least or most is not None:
            parts.append((counting(_CODES, least, most), True))
        return self._strings(name, parts, place)

    def _strings(self, name: str, parts: list[tuple[Automaton, bool]], place: str) -> Expr:
        try:
            return strings(self._rules, name, parts) or NOTHING
        except AutomatonError:
            raise Refused(place, "what is said of its text (pattern, format, length) is too complicated") from None

    @staticmethod
    def _parsed(pattern: str, place: str, wide: bool = False) -> Any:
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

    def _matches(self, pattern: str, text: str, place: str) -> bool:
        surely = self._automaton(pattern, True, place).accepts(text)
        if surely != self._automaton(pattern, False, place).accepts(text):
            raise Refused(place, f"whether the pattern {shown(pattern)} matches {shown(text)} depends on the dialect")
        return surely

    # -- arrays

    def _array(self, name: str, shape: Shape, place: str) -> Expr:
        if any(isinstance(value, list) for value in shape.excluded):
            raise Refused(place, "const or enum within not is not supported for arrays")
        least, most = shape.min_items, shape.max_items
        if max(least, most or 0) > MAX_REPEAT:
            raise Refused(place, f"minItems and maxItems must be at most {MAX_REPEAT}")
        never = [one.part for one in shape.contains if one.most == 0 and one.least == 0]
        contains = [one for one in shape.contains if one.most != 0 and (one.least or one.most is not None)]
        if any(one.most is not None and one.most < one.least for one in shape.contains):
            return NOTHING
        extra = tuple(replace(part, positive=not part.positive) for part in never)
        if len(contains) > 1:
            raise Refused(place, "more than one contains is not supported")
        n_first = max((len(fact.first) for fact in shape.arrays), default=0)
        first = [self._item(shape, index) + extra for index in range(n_first)]
        rest = self._item(shape, n_first) + extra
        if n_first and least <= n_first and not any(fact.rest is not None for fact in shape.arrays):
            most = n_first if most is None else min(n_first, most)
        for index, child in enumerate(first):
            if not self._reader.shapes(child):
                first, most = first[:index], index if most is None else min(index, most)
                break
        if rest and not self._reader.shapes(rest):
            most = len(first) if most is None else min(len(first), most)
        if most is not None and most < least:
            return NOTHING
        if shape.unique and (most is None or most > 1):
            if contains or first:
                raise Refused(place, "uniqueItems beside contains or prefixItems is not supported")
            return self._set(name, rest, Limits(least, most), place)
        if contains:
            items_at = lambda n: first[n] if n < len(first) else rest  # noqa: E731
            return self._containing(name, items_at, len(first), contains[0], Limits(least, most))
        least = max(least, len(first) if most is None else min(len(first), most))
        items: list[Expr] = [self._child(child, place) for child in first[:least]]
        parts: list[Expr] = []
        for item in items:
            parts += ['","', SPACE, item] if parts else [item]
        if most is None or most > len(items):
            n_least, n_most = least - len(items), None if most is None else most - len(items)
            item = self._child(rest, place)
            parts.append(
                Repeat(Then(('","', SPACE, item)), n_least, n_most) if items else between(item, n_least, n_most)
            )
        return Then(('"["', SPACE, *parts, SPACE, '"]"'))

    @staticmethod
    def _item(shape: Shape, index: int) -> Child:
        parts: list[Part] = []
        for fact in shape.arrays:
            if index < len(fact.first):
                parts.append(fact.first[index])
            elif fact.rest is not None:
                parts.append(fact.rest)
        return tuple(parts)

    def _set(self, name: str, child: Child, limits: Limits, place: str) -> Expr:
        """Return arrays of different items: of listed values, in their order."""
        values = self._listed(child)
        if values is None:
            raise Refused(place, "uniqueItems is supported for items of an enum only")
        members = [Member(literal(_compact(value)), False) for value in values]
        return Then(('"["', SPACE, Between(self._rules, name, members, None, limits, '"]"').expr()))

    def _listed(self, child: Child) -> list[Any] | None:
        """Return all values of a child, if they are listed."""
        values: list[Any] = []
        for shape in self._reader.shapes(child) if child else [Shape()]:
            if shape.values is not None:
                found = [value for value in shape.candidates() if self._allows_more(shape, value, "#")]
            elif shape.meant() <= {"null", "boolean"}:
                found = [v for v in (None, False, True) if shape.allows_plain(v)]
            else:
                return None
            values += found
        return list({identity(value): value for value in values}.values())

    def _containing(
        self, name: str, items: Callable[[int], Child], n_first: int, what: Contains, limits: Limits
    ) -> Expr:
        """Return arrays of which so many items satisfy something."""
        other = () if what.most is None else (replace(what.part, positive=not what.part.positive),)
        hits = Hits(
            Limits(what.least, what.most),
            lambda n: self._child((*items(n), what.part), what.part.place),
            lambda n: self._child((*items(n), *other), what.part.place),
            n_first,
        )
        return Then(('"["', SPACE, containing(self._rules, name, hits, limits)))

    # -- objects

    def _object(self, name: str, shape: Shape, place: str) -> Expr:
        if any(isinstance(value, dict) for value in shape.excluded):
            raise Refused(place, "const or enum within not is not supported for objects")
        listed = [key for fact in shape.objects if fact.lists for key in fact.properties]
        patterns = list(dict.fromkeys(pattern for fact in shape.objects for pattern, _ in fact.patterns))
        if len(patterns) > _MAX_PATTERNS:
            raise Refused(place, f"more than {_MAX_PATTERNS} patternProperties are not supported")
        is_open = any(fact.additional is not None for fact in shape.objects) or (not listed and not patterns)
        allowed = self._listed_names(shape)
        keys = dict.fromkeys([*listed, *shape.required])
        if allowed is not None and is_open:
            keys.update(dict.fromkeys(allowed))
        members: list[Member] = []
        for key in keys:
            if key in shape.absent or (shape.names and not self._child_allows(shape.names, key, place)):
                if key in shape.required:
                    return NOTHING
                continue
            child = self._member(shape, {pattern for pattern in patterns if self._matches(pattern, key, place)}, key)
            if not self._reader.shapes(child):
                if key in shape.required:
                    return NOTHING
                continue
            text = Then((literal(_compact(key)), SPACE, '":"', SPACE, self._child(child, place)))
            members.append(Member(text, key in shape.required))
        free: Expr | None = None
        if allowed is None and (is_open or patterns):
            named = {key for fact in shape.objects for key in fact.properties} | set(keys) | shape.absent
            free = self._free(name, shape, _Keys(patterns, named, is_open), place)
        limits = Limits(shape.min_properties, shape.max_properties)
        return Then(('"{"', SPACE, Between(self._rules, name, members, free, limits, '"}"').expr()))

    def _listed_names(self, shape: Shape) -> list[str] | None:
        """Return the names that `propertyNames` lists, `None` if it lists none."""
        if not shape.names:
            return None
        names: list[str] = []
        for one in self._reader.shapes(shape.names):
            if "string" not in one.meant():
                continue
            if one.values is None:
                return None
            names += [v for v in one.candidates() if isinstance(v, str) and self._allows(one, v, "#")]
        return names

    def _free(self, name: str, shape: Shape, keys: _Keys, place: str) -> Expr | None:
        """Return the members that are not listed, by the patterns that their names match."""
        parts: list[Expr] = []
        n_names = 0
        for which in range(1 << len(keys.patterns)):
            inside = {pattern for index, pattern in enumerate(keys.patterns) if which >> index & 1}
            if not inside and not keys.is_open:
                continue
            child = self._member(shape, inside, None)
            if not self._reader.shapes(child):
                continue
            conditions = [(self._automaton(one, one in inside, place), one in inside) for one in keys.patterns]
            if keys.named:
                conditions.append((words(keys.named), False))
            for one in self._reader.shapes(shape.names) if shape.names else [Shape()]:
                key = self._key(f"{name}k{n_names}", one, conditions, place)
                n_names += 1
                parts.append(Then((key, '":"', SPACE, self._child(child, place))))
        return Either(tuple(parts)) if parts else None

    def _key(self, name: str, names: Shape, conditions: list[tuple[Automaton, bool]], place: str) -> Expr:
        if names == Shape(spoken=names.spoken, is_typed=names.is_typed, types=names.types) and not conditions:
            return STRING if "string" in names.types else NOTHING
        if "string" not in names.types or names.values is not None:
            if names.values is not None:
                raise Refused(place, "propertyNames of which only some are listed is not supported")
            return NOTHING
        parts = list(conditions)
        for pattern, wanted in names.patterns:
            parts.append((self._automaton(pattern, wanted, place), wanted))
        for one in names.formats:
            if one not in FORMATS:
                raise Refused(place, f"the format {shown(one)} of propertyNames is not supported")
            parts.append((self._automaton(FORMATS[one], True, place), True))
        excluded = [value for value in names.excluded if isinstance(value, str)]
        if excluded:
            parts.append((words(excluded), False))
        if names.min_length or names.max_length is not None:
            if max(names.min_length, names.max_length or 0) > MAX_REPEAT:
                raise Refused(place, f"minLength and maxLength must be at most {MAX_REPEAT}")
            parts.append((counting(_CODES, names.min_length, names.max_length), True))
        return self._strings(name, parts, place)

    @staticmethod
    def _member(shape: Shape, matching: set[str], key: str | None) -> Child:
        """Return what a member satisfies, by its name, `None` for one that is not listed, and the patterns it has."""
        parts: list[Part] = []
        for fact in shape.objects:
            mine = [part for pattern, part in fact.patterns if pattern in matching]
            if key is not None and key in fact.properties:
                mine.append(fact.properties[key])
            spoken = bool(mine) or any(_speaks(one, key, matching) for one in fact.unless)
            if not spoken and fact.additional is not None:
                mine = [fact.additional]
            parts += mine
        return tuple(parts)

    # -- listed values

    def _child_allows(self, child: Child, value: object, place: str) -> bool:
        return any(self._allows(shape, value, place) for shape in self._reader.shapes(child))

    def _allows(self, shape: Shape, value: object, place: str) -> bool:
        """Whether a value has a shape."""
        if not shape.allows_plain(value):
            return False
        if shape.values is not None and not any(equal(value, other) for other in shape.values):
            return False
        return self._allows_more(shape, value, place)

    def _allows_more(self, shape: Shape, value: object, place: str) -> bool:
        """Whether one of its candidates satisfies what takes a deeper look."""
        if isinstance(value, str):
            if set(shape.formats) - FREE_FORMATS:
                raise Refused(place, "enum or const beside 'format' is not supported")
            return all(self._matches(pattern, value, place) == wanted for pattern, wanted in shape.patterns)
        if isinstance(value, list):
            return self._allows_array(shape, value, place)
        if isinstance(value, dict):
            return self._allows_object(shape, value, place)
        return True

    def _allows_array(self, shape: Shape, value: list[Any], place: str) -> bool:
        if shape.unique and any(equal(one, other) for i, one in enumerate(value) for other in value[:i]):
            return False
        for one in shape.contains:
            n = sum(self._child_allows((one.part,), item, place) for item in value)
            if n < one.least or (one.most is not None and n > one.most):
                return False
        return all(self._child_allows(self._item(shape, index), item, place) for index, item in enumerate(value))

    def _allows_object(self, shape: Shape, value: dict[str, Any], place: str) -> bool:
        patterns = {pattern for fact in shape.objects for pattern, _ in fact.patterns}
        for key, item in value.items():
            matching = {pattern for pattern in patterns if self._matches(pattern, key, place)}
            if not self._child_allows(self._member(shape, matching, key), item, place):
                return False
            if not self._child_allows(shape.names, key, place):
                return False
        return True


def _speaks(fact: Any, key: str | None, matching: set[str]) -> bool:
    return (
        (key is not None and key in fact.properties)
        or any(pattern in matching for pattern, _ in fact.patterns)
        or fact.additional is not None
    )


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _around(interval: Interval, excluded: list[Any]) -> Iterator[Interval]:
    """Yield the intervals that are left without some numbers."""
    low, low_open = interval.low, interval.low_open
    for value in sorted({Decimal(str(value)) for value in excluded}):
        if interval.has(value):
            piece = Interval(low, value, low_open, True)
            if not piece.is_empty:
                yield piece
            low, low_open = value, True
    piece = Interval(low, interval.high, low_open, interval.high_open)
    if not piece.is_empty:
        yield piece

"""Values that a schema lists, each looked at by itself: whether it satisfies what else is said. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .formats import FREE_FORMATS
from .pace import let_others_run
from .shape import Child, Shape
from .values import Refused, equal, identity

if TYPE_CHECKING:
    from .reader import SchemaReader
    from .strings import Strings

__all__ = ["Listed"]

_MAX_INTEGERS = 200  # between bounds, that count as listed


class Listed:
    """Checks the listed values of one document.

    Args:
        reader: Reads its schemas.
        strings: Knows its patterns.
    """

    def __init__(self, reader: SchemaReader, strings: Strings) -> None:
        self._reader = reader
        self._strings = strings

    def values(self, shape: Shape, place: str) -> list[Any]:
        """Return those of the values that a shape lists which have it.

        Args:
            shape: One with values.
            place: Where it stands, for the error.

        Raises:
            Refused: It cannot be told.
        """
        return [value for value in shape.candidates() if self._allows_deeply(shape, value, place)]

    def all_of(self, child: Child, place: str) -> list[Any] | None:
        """Return all values that satisfy a schema, `None` where they are not listed."""
        values: list[Any] = []
        for shape in self._reader.shapes(child) if child else [Shape()]:
            if shape.values is not None:
                values += self.values(shape, place)
            elif shape.meant() <= {"null", "boolean"}:
                values += [value for value in (None, False, True) if shape.allows_plain(value)]
            elif shape.meant() == {"number"} and shape.integral:
                low, high = shape.interval.integral()
                if low is None or high is None or high - low >= _MAX_INTEGERS:
                    return None
                values += [value for value in range(low, high + 1) if shape.allows_plain(value)]
            else:
                return None
        return list({identity(value): value for value in values}.values())

    def names(self, child: Child, place: str) -> list[str] | None:
        """Return the texts that satisfy a schema, `None` where they are not listed."""
        names: list[str] = []
        for shape in self._reader.shapes(child) if child else [Shape()]:
            if "string" not in shape.meant():
                continue
            if shape.values is None:
                return None
            names += [value for value in self.values(shape, place) if isinstance(value, str)]
        return names

    def allows(self, child: Child, value: object, place: str) -> bool:
        """Whether a value satisfies a schema."""
        return any(self._allows(shape, value, place) for shape in self._reader.shapes(child))

    def _allows(self, shape: Shape, value: object, place: str) -> bool:
        if not shape.allows_plain(value):
            return False
        if shape.values is not None and not any(equal(value, other) for other in shape.values):
            return False
        return self._allows_deeply(shape, value, place)

    def _allows_deeply(self, shape: Shape, value: object, place: str) -> bool:
        """Whether one of its candidates satisfies what takes a deeper look."""
        let_others_run()
        if isinstance(value, str):
            if set(shape.formats) - FREE_FORMATS:
                raise Refused(place, "enum or const beside 'format' is not supported")
            return all(self._strings.matches(pattern, value, place) == wanted for pattern, wanted in shape.patterns)
        if isinstance(value, list):
            return self._allows_array(shape, value, place)
        if isinstance(value, dict):
            return self._allows_object(shape, value, place)
        return True

    def _allows_array(self, shape: Shape, value: list[Any], place: str) -> bool:
        if shape.unique and any(equal(one, other) for i, one in enumerate(value) for other in value[:i]):
            return False
        for one in shape.contains:
            n = sum(self.allows((one.part,), item, place) for item in value)
            if n < one.least or (one.most is not None and n > one.most):
                return False
        return all(self.allows(shape.item(index), item, place) for index, item in enumerate(value))

    def _allows_object(self, shape: Shape, value: dict[str, Any], place: str) -> bool:
        patterns = {pattern for fact in shape.objects for pattern, _ in fact.patterns}
        for key, item in value.items():
            matching = {pattern for pattern in patterns if self._strings.matches(pattern, key, place)}
            if not self.allows(shape.member(matching, key), item, place):
                return False
            if not self.allows(shape.names, key, place):
                return False
        return True

"""The sentinels and small aliases that call signatures are written with.

Owns `omit`, `not_given` and `NOT_GIVEN`, and the names `Headers`, `Query`, `Body` and `Timeout`. Imports nothing of the
package, and httpx only when `Timeout` is looked up: importing httpx takes longer than all of our types together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from httpx import Timeout

    NoneType: type[None]
else:
    NoneType = type(None)

__all__ = [
    "NOT_GIVEN",
    "Body",
    "Headers",
    "NoneType",
    "NotGiven",
    "Omit",
    "Omittable",
    "Query",
    "SequenceNotStr",
    "Timeout",
    "not_given",
    "omit",
]

_T = TypeVar("_T")


class NotGiven:
    """Marks an argument the caller did not pass, where `None` has a meaning of its own (`timeout=None`: no limit)."""

    __slots__ = ()

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


class Omit:
    """Marks a parameter or header that is left out of the request, where `None` would be sent as null."""

    __slots__ = ()

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "omit"


not_given = NotGiven()
# An object of its own, as in the reference package: code that compares by identity sees two different sentinels.
NOT_GIVEN = NotGiven()
omit = Omit()

Omittable: TypeAlias = _T | Omit
Headers: TypeAlias = Mapping[str, str | Omit]
Query: TypeAlias = Mapping[str, object]
Body: TypeAlias = object

# A plain Sequence: the name records that a bare str is not meant, which type checkers cannot express without a protocol
# that list and tuple literals then fail to infer through.
SequenceNotStr: TypeAlias = Sequence[_T]


def __getattr__(name: str) -> Any:
    if name == "Timeout":
        from httpx import Timeout

        globals()["Timeout"] = Timeout
        return Timeout
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

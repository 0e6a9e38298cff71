"""One delta added to what came before it."""

from __future__ import annotations

from typing import Any

__all__ = ["accumulate_delta"]


def accumulate_delta(acc: dict[Any, Any], delta: dict[Any, Any]) -> dict[Any, Any]:
    """Add a delta to an object, in place, and return it.

    Text is appended, numbers are added, objects are merged. A list of objects is merged by their `index`, any other is
    extended. `index` and `type` are replaced: they tell which one is meant and do not grow.

    Raises:
        TypeError: A list that is merged by index holds something else than objects with a whole number as `index`.
        RuntimeError: An object in it has no `index`.
    """
    for key, value in delta.items():
        current = acc.get(key)
        if current is None:
            if not _is_indexed(value):
                acc[key] = value
                continue
            # One chunk may hold several fragments of one entry: the first list is merged too.
            current = []
        acc[key] = value if key in ("index", "type") else _merged(current, value)
    return acc


def _merged(current: Any, value: Any) -> Any:
    if isinstance(current, str) and isinstance(value, str):
        return current + value
    if isinstance(current, (int, float)) and isinstance(value, (int, float)):
        return current + value
    if isinstance(current, dict) and isinstance(value, dict):
        return accumulate_delta(current, value)
    if isinstance(current, list) and isinstance(value, list):
        _merge_list(current, value)
    # What does not go together leaves what was there.
    return current


def _merge_list(current: list[Any], value: list[Any]) -> None:
    is_plain = all(isinstance(entry, (str, int, float)) for entry in current)
    if is_plain and (current or not _is_indexed(value)):
        current.extend(value)
        return
    for entry in value:
        if not isinstance(entry, dict):
            raise TypeError(f"a list delta holds {entry!r}, but must hold objects")
        if "index" not in entry:
            raise RuntimeError(f"a list delta holds {entry!r}, which has no `index`")
        index = entry["index"]
        if not isinstance(index, int):
            raise TypeError(f"a list delta has the `index` {index!r}, which is not a whole number")
        try:
            before = current[index]
        except IndexError:
            current.insert(index, entry)
            continue
        if not isinstance(before, dict):
            raise TypeError(f"a list delta adds {entry!r} to {before!r}, which is not an object")
        current[index] = accumulate_delta(before, entry)


def _is_indexed(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(entry, dict) and "index" in entry for entry in value)

"""Sets of characters as ranges of code points, sorted and disjoint. Pure."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ALL", "BLANKS", "PLAIN", "WRITABLE", "Ranges", "common", "complement", "merged", "without"]

Ranges = tuple[tuple[int, int], ...]

_LAST = 0x10FFFF

ALL: Ranges = ((0, _LAST),)
# Characters of a JSON string that need no escape; surrogates are no characters.
PLAIN: Ranges = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0x80, 0xD7FF), (0xE000, _LAST))
# Characters that a string may hold: these, and what has an escape of one letter.
WRITABLE: Ranges = ((0x08, 0x0A), (0x0C, 0x0D), (0x20, 0x7E), (0x80, 0xD7FF), (0xE000, _LAST))
# What shows nothing.
BLANKS: Ranges = (
    *((0x09, 0x0D), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200F), (0x2028, 0x2029)),
    *((0x202F, 0x202F), (0x205F, 0x2064), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)


def complement(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return all other characters. The ranges may overlap, in any order."""
    result: list[tuple[int, int]] = []
    start = 0
    for first, last in sorted(ranges):
        if first > start:
            result.append((start, first - 1))
        start = max(start, last + 1)
    if start <= _LAST:
        result.append((start, _LAST))
    return tuple(result)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the same characters as a set. The ranges may overlap, in any order."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and result[-1][1] + 1 >= first:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)


def common(one: Ranges, other: Ranges) -> Ranges:
    """Return the characters of both."""
    return tuple(
        sorted(
            (max(first, low), min(last, high))
            for first, last in one
            for low, high in other
            if max(first, low) <= min(last, high)
        )
    )


def without(ranges: Ranges, others: Ranges) -> Ranges:
    """Return the characters of the one that are not in the other."""
    return common(ranges, complement(others))

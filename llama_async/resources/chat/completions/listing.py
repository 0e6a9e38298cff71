"""What the lists of stored completions and of their messages share: parameters of a page, and its fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_async._errors import bad_request, shown
from llama_async._types import Omit

__all__ = ["check_id", "ordering", "page_fields", "page_limit", "text_or_none"]

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 100


def check_id(completion_id: object) -> None:
    """Raise ValueError, as openai does, for an id that is empty or none at all."""
    if not completion_id or not isinstance(completion_id, str):
        raise ValueError(f"completion_id is {shown(completion_id)}, but must be text that is not empty")


def page_limit(limit: object) -> int:
    """Return how many items a page has at most."""
    if isinstance(limit, Omit) or limit is None:
        return _DEFAULT_LIMIT
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= _MAX_LIMIT:
        raise bad_request("limit", f"limit is {shown(limit)}, but must be an integer from 0 to {_MAX_LIMIT}")
    return limit


def ordering(order: object) -> bool:
    """Return whether the newest come first."""
    if isinstance(order, Omit) or order is None:
        return False
    if order not in ("asc", "desc"):
        raise bad_request("order", f"order is {shown(order)}, but must be asc or desc")
    return order == "desc"


def text_or_none(param: str, value: object) -> str | None:
    """Return a parameter that is text, `None` if it was not given."""
    if isinstance(value, Omit) or value is None:
        return None
    if not isinstance(value, str):
        raise bad_request(param, f"{param} is {shown(value)}, but must be text")
    return value


def page_fields(items: Sequence[Any], *, has_more: bool) -> dict[str, object]:
    """Return the fields of a page of items that have an id."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0].id if items else None,
        "last_id": items[-1].id if items else None,
        "has_more": has_more,
    }

"""The `metadata` that users attach to what is stored: its limits, which are openai's."""

from __future__ import annotations

from collections.abc import Mapping

from ._errors import bad_request, shown
from ._parameters import is_utf8

__all__ = ["checked_metadata"]

_MAX_PAIRS = 16
_MAX_KEY_CHARS = 64
_MAX_VALUE_CHARS = 512


def checked_metadata(metadata: object) -> dict[str, str]:
    """Return a copy of the user's metadata.

    Raises:
        BadRequestError: It is no mapping of text to text, or exceeds a limit.
    """
    if not isinstance(metadata, Mapping):
        raise bad_request("metadata", f"metadata is {shown(metadata)}, but must be a mapping of text to text")
    if len(metadata) > _MAX_PAIRS:
        raise bad_request("metadata", f"metadata has {len(metadata)} keys, but at most {_MAX_PAIRS} are allowed")
    for key, value in metadata.items():
        _check(f"the key {shown(key)}", key, _MAX_KEY_CHARS)
        _check(f"{shown(value)} for {shown(key)}", value, _MAX_VALUE_CHARS)
    return dict(metadata)


def _check(what: str, text: object, max_chars: int) -> None:
    if not isinstance(text, str) or len(text) > max_chars or not is_utf8(text):
        raise bad_request("metadata", f"metadata has {what}, but must have text of at most {max_chars} characters")

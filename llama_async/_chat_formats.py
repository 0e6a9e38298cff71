"""Chat templates by name: the formats in `chat_formats/`, one Jinja file each, under llama-cpp-python's names.

A template that ends answers at texts of its own says so in its first line: `{#- stop: ["###"] -#}`. The native engine
reads that of any template.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["chat_formats", "chat_template"]

_FOLDER = Path(__file__).parent / "chat_formats"
_MAX_CHARS = 1 << 18


@cache
def chat_formats() -> tuple[str, ...]:
    """Return the names of all formats."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.jinja")))


@cache
def _read(name: str) -> str:
    return (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


def chat_template(given: object) -> str:
    """Return the text of a template that is given as text or by its name.

    Raises:
        ValueError: It is neither. Says what it must be.
    """
    if not isinstance(given, str) or not given:
        raise ValueError("the text of a Jinja template or the name of a chat format")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValueError("text without lone surrogates") from None
    if len(given) > _MAX_CHARS:
        raise ValueError(f"at most {_MAX_CHARS} characters")
    if "{" in given:
        return given
    if given not in chat_formats():
        raise ValueError(f"the text of a Jinja template or one of {', '.join(chat_formats())}")
    return _read(given)

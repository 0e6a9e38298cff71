"""What a person types: prompt_toolkit at a terminal, plain lines from anything else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prompt_toolkit import PromptSession
    from prompt_toolkit.key_binding import KeyBindings

__all__ = ["LineInput", "history_file"]

_FENCE = '"""'
_PROMPT, _MORE = "> ", ". "


def history_file() -> Path:
    """Where what is typed is remembered: with the user's state, which clearing caches leaves alone."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local"))
    else:
        state = os.environ.get("XDG_STATE_HOME")
        base = Path(state) if state else Path.home() / ".local/state"
    return base / "llama-async" / "history"


class LineInput:
    """Messages, one after the other.

    Args:
        history: Where they are remembered; `None`: for this session only.
        commands: Name -> meaning of what is offered while a `/` is typed.
    """

    def __init__(self, history: Path | None, commands: Mapping[str, str]) -> None:
        self._session = _session(history, commands) if sys.stdin.isatty() and sys.stdout.isatty() else None

    def read(self) -> str:
        """Return the next message.

        Raises:
            EOFError: There is none any more.
            KeyboardInterrupt: Ctrl-C was pressed; what was typed is dropped.
        """
        text = self._line(_PROMPT)
        if not text.lstrip().startswith(_FENCE):
            return text
        text = text.lstrip()[len(_FENCE) :]
        while _FENCE not in text:
            text += "\n" + self._line(_MORE)
        return text.partition(_FENCE)[0].strip("\n")

    def _line(self, prompt: str) -> str:
        if self._session is not None:
            text: str = self._session.prompt(prompt)
            return text
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")


def _session(history: Path | None, commands: Mapping[str, str]) -> PromptSession[Any]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    completer = WordCompleter(list(commands), meta_dict=dict(commands), sentence=True)
    return PromptSession(
        history=InMemoryHistory() if history is None else FileHistory(_private(history)),
        completer=completer,
        complete_while_typing=True,
        key_bindings=_keys(),
        multiline=True,
        prompt_continuation=_MORE,
        enable_open_in_editor=True,
        reserve_space_for_menu=len(commands),
    )


def _private(path: Path) -> str:
    """Return the file's name; what is typed is nobody else's business."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    return str(path)


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: Any) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    return keys

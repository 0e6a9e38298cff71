"""Markdown on a terminal while it is being written.

What can no longer change is printed once and scrolls away like any output; only the block that still grows is drawn
anew. A display of the whole answer would flicker, and could not grow beyond the screen.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment

from .terminal import visible

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, ConsoleOptions, RenderResult
    from typing_extensions import Self

__all__ = ["MarkdownStream", "stable_length"]

_FRAME_S = 0.08
# Lines that the growing block leaves free.
_MARGIN = 2


def stable_length(text: str) -> int:
    """Return how much of a text is blocks that no further text can change: all but the last."""
    tokens = _parser.parse(text)
    starts = [token.map[0] for token in tokens if token.level == 0 and token.map is not None]
    if not starts or starts[-1] == 0:
        return 0
    lines = text.splitlines(keepends=True)
    return sum(len(line) for line in lines[: starts[-1]])


# As rich's Markdown parses.
_parser = MarkdownIt().enable("strikethrough").enable("table")


class MarkdownStream:
    """Text that comes piece by piece, shown as Markdown: `with MarkdownStream(console) as out: out.feed(text)`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tail = ""
        self._has_printed = False
        self._drawn_at = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="visible")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.update("", refresh=False)
            self._live.stop()
        self._print(self._tail)
        self._tail = ""

    def feed(self, text: str) -> None:
        """Show more of it. From the first on, nobody else may write to the console."""
        if not self._live.is_started:
            self._live.start()
        self._tail += visible(text)
        if "\n" in text and (n := stable_length(self._tail)):
            # The display is emptied first: rich draws it again below what is printed.
            self._live.update("", refresh=False)
            self._print(self._tail[:n])
            self._tail = self._tail[n:]
        now = time.monotonic()
        if now - self._drawn_at >= _FRAME_S:
            self._drawn_at = now
            self._live.update(_End(self._tail), refresh=True)

    def _print(self, text: str) -> None:
        if not text.strip():
            return
        if self._has_printed:
            self._console.print()
        self._console.print(Markdown(text))
        self._has_printed = True


class _End:
    """As much of the end of a text as the screen has room for."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(Markdown(self._text), options, pad=False)
        for line in lines[-max(1, console.height - _MARGIN) :]:
            yield from line
            yield Segment.line()

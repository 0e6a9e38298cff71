"""What all commands share: where they write, how they fail, and what their exit status says.

0: done; 1: it failed; 2: it was called wrongly; 130: interrupted. Answers go to standard output, everything else to
standard error. Colours only on a terminal, and not where NO_COLOR is set.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from llama_async._errors import OpenAIError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "WRONG_USAGE",
    "answers",
    "fail",
    "is_terminal",
    "messages",
    "size",
    "status_of",
    "visible",
]

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

_FunctionT = TypeVar("_FunctionT", bound="Callable[..., Any]")


def status_of(command: _FunctionT) -> _FunctionT:
    """Make the errors of a command its message and its exit status."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except OptionError as error:
            raise fail(str(error), WRONG_USAGE) from error
        except OpenAIError as error:
            raise fail(str(error)) from error
        except KeyboardInterrupt:
            messages().print()
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # Whoever reads has seen enough. Python would complain again when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(FAILED) from None

    return run  # type: ignore[return-value]


def fail(message: str, status: int = FAILED) -> typer.Exit:
    """Say what is wrong, and return what is to be raised."""
    messages().print(f"[bold red]error:[/] {escaped(message)}", soft_wrap=True, highlight=False)
    return typer.Exit(status)


def answers() -> Console:
    """The console of standard output."""
    return _console(stderr=False)


def messages() -> Console:
    """The console of standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # A pipe has no width: whoever reads it wants whole lines.
    width = None if stream.isatty() else 10_000
    return Console(stderr=stderr, highlight=False, width=width, soft_wrap=width is not None)


def is_terminal() -> bool:
    """Whether a person sees standard output."""
    return sys.stdout.isatty()


def escaped(text: str) -> str:
    """Return text that rich prints as it is, but for what would steer the terminal."""
    from rich.markup import escape

    return escape(visible(text))


_HIDDEN = {code: None for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    """Return text without what would steer a terminal: models, files and servers may say anything."""
    return text.translate(_HIDDEN)


def size(n_bytes: float) -> str:
    """Return a number of bytes for people, as disks are sold: `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"

"""`llama-async run`: one answer, for a pipe or a person. The answer, and nothing else, goes to standard output."""

from __future__ import annotations

import json
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

import typer

from llama_async._errors import OptionError

from .session import EngineFlags, Pace, begin, loaded
from .terminal import INTERRUPTED, escaped, fail, is_terminal, messages, visible

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from llama_async.types.chat import ChatCompletionChunk

__all__ = ["answer", "prompt_text", "schema_format"]


def prompt_text(prompt: str | None) -> str:
    """Return what is asked: the argument, and below it what standard input has; either alone will do.

    Raises:
        OptionError: Neither has anything.
    """
    piped = "" if prompt not in {None, "-"} and not _is_given(sys.stdin) else _read_input()
    text = piped if prompt in {None, "-"} else "\n\n".join(filter(None, [prompt, piped.rstrip("\n")]))
    if not text or not text.strip():
        raise OptionError("prompt", prompt, "given, as an argument or on standard input")
    return text


def _read_input() -> str:
    if sys.stdin.isatty():
        messages().print("[dim]type the prompt, end it with Ctrl-D[/]")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise OptionError("standard input", "bytes", f"text: {error}") from error


def _is_given(stream: Any) -> bool:
    """Whether something was put there to be read: a pipe or a file, not a terminal and not what a daemon inherits."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):
        # Not a real stream: somebody has put it there, a test for one.
        return not stream.isatty()
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def schema_format(file: Path) -> dict[str, Any]:
    """Return the response format of a file with a JSON schema.

    Raises:
        OptionError: There is no JSON object in it.
    """
    try:
        schema = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError("schema", str(file), f"a file with a JSON schema: {error}") from error
    if not isinstance(schema, dict):
        raise OptionError("schema", str(file), "a file with a JSON object")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def answer(
    model: str,
    conversation: list[dict[str, Any]],
    flags: EngineFlags,
    *,
    parameters: dict[str, Any],
    response_format: dict[str, Any] | None = None,
    show_stats: bool = False,
    show_thoughts: bool = False,
    quiet: bool = False,
) -> None:
    """Write an answer to standard output while it comes.

    Args:
        model: What to ask.
        conversation: The messages.
        flags: Of the engine.
        parameters: Of the request.
        response_format: What the answer must be.
        show_stats: Whether the counts go to standard error.
        show_thoughts: Whether the thoughts of a model that has some go there.
        quiet: Whether neither fetching nor loading is shown.

    Raises:
        OpenAIError: There is none.
        typer.Exit: It is of no use: cut where it had to be whole, or interrupted.
    """
    if response_format is not None:
        parameters = {**parameters, "response_format": response_format}
    pace = Pace()
    with loaded(model, flags, quiet=quiet, n_parallel=1) as client:
        pace = Pace()
        stream = begin(client, conversation, parameters)
        try:
            finish_reason = _write(stream, pace, show_thoughts=show_thoughts)
        except KeyboardInterrupt:
            stream.close()
            messages().print()
            raise typer.Exit(INTERRUPTED) from None
    if show_stats:
        messages().print(escaped(str(pace)), style="dim")
    if finish_reason == "length":
        text = "the answer is not complete: max-tokens, or the context (--ctx), is used up"
        if response_format is not None:
            raise fail(text)
        if "max_tokens" not in parameters:
            messages().print(f"[yellow]note:[/] {text}", soft_wrap=True)


def _write(stream: Iterable[ChatCompletionChunk], pace: Pace, *, show_thoughts: bool) -> str | None:
    # A file or a program gets what the model said; a terminal is not steered by it.
    shown = visible if is_terminal() else str
    finish_reason, last = None, "\n"
    is_thinking = False
    for chunk in stream:
        pace.note(chunk)
        for choice in chunk.choices:
            finish_reason = choice.finish_reason or finish_reason
            thought = getattr(choice.delta, "reasoning_content", None)
            if thought and show_thoughts:
                is_thinking = True
                messages().print(escaped(thought), end="", style="dim", soft_wrap=True)
            if text := choice.delta.content:
                if is_thinking:
                    is_thinking = False
                    messages().print()
                sys.stdout.write(shown(text))
                sys.stdout.flush()
                last = text[-1]
    if last != "\n":
        print(flush=True)
    return finish_reason

"""A client of one model for a command, and what commands have in common about answers."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_async._errors import OptionError

from .fetching import model_file
from .terminal import escaped, messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llama_async import Llama, Stream
    from llama_async.types import CompletionUsage
    from llama_async.types.chat import ChatCompletionChunk

__all__ = ["EngineFlags", "Pace", "begin", "loaded", "sampling", "template_text"]


@dataclass(frozen=True, slots=True)
class EngineFlags:
    """What a command's flags say about the engine; `None`: as the engine wants it."""

    n_ctx: int | None = None
    n_threads: int | None = None
    n_gpu_layers: int | None = None
    chat_template: str | None = None
    tune: bool | None = None

    def options(self) -> dict[str, Any]:
        """Return them as arguments of the client."""
        given = {
            "n_ctx": self.n_ctx,
            "n_threads": self.n_threads,
            "n_gpu_layers": self.n_gpu_layers,
            "tune": self.tune,
            "chat_template": None if self.chat_template is None else template_text(self.chat_template),
        }
        return {name: value for name, value in given.items() if value is not None}


def template_text(template: str) -> str:
    """Return a chat template: a file's content, or what is known by that name.

    Raises:
        OptionError: The file cannot be read.
    """
    path = Path(template)
    if not path.is_file():
        return template
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError("chat-template", template, f"a file that can be read: {error}") from error


@contextmanager
def loaded(model: str, flags: EngineFlags, *, quiet: bool = False, **options: Any) -> Iterator[Llama]:
    """Fetch the model if need be, load it, and close it in the end.

    Raises:
        DownloadError: It cannot be had.
        ModelLoadError: It cannot be loaded.
        OptionError: A flag is wrong.
    """
    from llama_async import Llama

    path = model_file(model, quiet=quiet)
    client = Llama(path, timeout=None, store=None, **flags.options(), **options)
    try:
        console = messages()
        if quiet or not console.is_terminal:
            client.load()
        else:
            with console.status(f"loading {escaped(path.name)}"):
                client.load()
        yield client
    finally:
        client.close()


def begin(client: Llama, conversation: Sequence[Any], parameters: Mapping[str, Any]) -> Stream[ChatCompletionChunk]:
    """Return an answer that is about to come, its counts in the last chunk."""
    create: Any = client.chat.completions.create
    stream: Stream[ChatCompletionChunk] = create(
        model="default", messages=conversation, stream=True, stream_options={"include_usage": True}, **parameters
    )
    return stream


def sampling(
    max_tokens: int | None, temperature: float | None, top_p: float | None, seed: int | None
) -> dict[str, Any]:
    """Return what was given of the parameters of sampling."""
    given = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    return {name: value for name, value in given.items() if value is not None}


class Pace:
    """How fast an answer came: fed with its chunks."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: float | None = None
        self._last = self._began
        self.usage: CompletionUsage | None = None

    def note(self, chunk: ChatCompletionChunk) -> None:
        """Take a chunk into account."""
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.choices:
            self._last = time.monotonic()
            if self._first is None and _has_text(chunk):
                self._first = self._last

    def __str__(self) -> str:
        """The line below an answer."""
        parts = []
        if self.usage is not None:
            n_tokens = self.usage.completion_tokens
            parts.append(f"{n_tokens} token{'s' * (n_tokens != 1)}")
            if self._first is not None and n_tokens > 1 and self._last > self._first:
                parts.append(f"{(n_tokens - 1) / (self._last - self._first):.1f} tok/s")
        if self._first is not None:
            parts.append(f"first after {self._first - self._began:.2f} s")
        if self.usage is not None:
            parts.append(f"context {self.usage.total_tokens:,}")
        return " · ".join(parts)


def _has_text(chunk: ChatCompletionChunk) -> bool:
    delta = chunk.choices[0].delta
    return bool(delta.content or getattr(delta, "reasoning_content", None))

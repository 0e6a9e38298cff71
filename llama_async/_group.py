"""Several generations read as one: the prompts of one text completion.

Nothing here knows what they are about: it merges their deltas, adds up their ends, and where one fails or the reader
leaves, all of them end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import StreamClosedError
from ._generation import Answer, Delta, End

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._errors import OpenAIError
    from ._generation import Generation

__all__ = ["GenerationGroup"]


class _Bell:
    """A waker of each generation that rings for the group."""

    __slots__ = ("_group",)

    def __init__(self, group: GenerationGroup) -> None:
        self._group = group

    def done(self) -> bool:
        return False

    def set_result(self, _result: None, /) -> None:
        self._group.wake()


class GenerationGroup(Answer):
    """The answers to several prompts, while they come.

    A delta's choice is `prompt * n_choices + choice`; what is about prompt p itself has the choice `-1 - p`.

    Args:
        generations: One for each prompt, at least one.
        n_choices: Choices of each.
    """

    __slots__ = ("_bell", "_generations", "_n_choices", "_n_handed_out", "_turn", "closed", "end")

    def __init__(self, generations: Sequence[Generation], n_choices: int) -> None:
        super().__init__(generations[0].pump)
        self._generations = generations
        self._n_choices = n_choices
        self._bell = _Bell(self)
        self._turn = 0
        self._n_handed_out = 0
        self.closed = False
        self.end: End | None = None

    def ready(self) -> bool:
        """Whether there is something to fetch."""
        generations = self._generations
        return (
            self.closed
            or any(generation.has_news or generation.error() is not None for generation in generations)
            or all(generation.end is not None for generation in generations)
        )

    async def wait_first(self) -> None:
        """Return when the first delta is there. Raises as `next` does; what it found stays to be fetched."""
        while not any(generation.has_news for generation in self._generations):
            self._raise_if_failed()
            if self._note_end():
                return
            await self.wait()

    async def next(self) -> Delta | None:
        """Return what came since the last call, `None` after the last end.

        Cancelling the calling task cancels all of them.

        Raises:
            APIError: One failed; the others are cancelled. This class itself once something was handed out.
            StreamClosedError: `cancel` was called.
            RuntimeError: Another task is waiting for the same.
        """
        while True:
            self._raise_if_failed()
            n = len(self._generations)
            for step in range(n):
                index = (self._turn + step) % n
                delta = self._generations[index].take()
                if delta is not None:
                    # The others' turn, so that one that talks much does not keep them waiting.
                    self._turn = index + 1
                    self._n_handed_out += 1
                    return self._numbered(index, delta)
            if self._note_end():
                return None
            await self.wait()

    async def collect(self) -> list[Delta]:
        """Return one delta per choice when all have ended. Raises and is cancelled as `next`."""
        while not self._note_end():
            self._raise_if_failed()
            await self.wait()
        self._raise_if_failed()
        deltas = []
        for index, generation in enumerate(self._generations):
            while (delta := generation.take()) is not None:
                deltas.append(self._numbered(index, delta))
        return deltas

    def cancel(self) -> None:
        """Stop all of them and drop what nobody fetched. Never blocks; finalizers call it."""
        if self.closed or self.end is not None:
            return
        self.closed = True
        for generation in self._generations:
            generation.cancel()
        self.wake()

    def _numbered(self, index: int, delta: Delta) -> Delta:
        delta.choice = delta.choice + index * self._n_choices if delta.choice >= 0 else -1 - index
        return delta

    def _note_end(self) -> bool:
        """Return whether all have ended; then `end` is there, unless one failed."""
        ends = [generation.end for generation in self._generations if generation.end is not None]
        if len(ends) < len(self._generations):
            return False
        if self.end is None and not any(generation.error() for generation in self._generations):
            self.end = End(
                status=ends[0].status,
                n_prompt=sum(end.n_prompt for end in ends),
                n_cached=sum(end.n_cached for end in ends),
                n_generated=sum(end.n_generated for end in ends),
            )
        return True

    def _raise_if_failed(self) -> None:
        if self.closed:
            raise StreamClosedError
        for generation in self._generations:
            # What it tells of itself depends on whether the reader has had anything of the whole.
            generation.n_handed_out = self._n_handed_out
            error: OpenAIError | None = generation.error()
            if error is not None:
                self.cancel()
                raise error

    async def wait(self, sink: Callable[[int, str], bool] | None = None) -> None:
        """Do as `Answer.wait`. The sink gets nothing: the generations' choices have other numbers."""
        for generation in self._generations:
            generation.waker = self._bell
        await super().wait(sink)

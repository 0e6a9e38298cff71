"""The models of a client and its copies: by what names they go, which of them are loaded, who makes room for whom.

Owns names, aliases and the memory budget. Loads and unloads through `_model.Model`, which knows only itself.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from ._binding import NativeError, estimate_bytes
from ._errors import (
    EventLoopError,
    ModelLoadError,
    OpenAIError,
    OptionError,
    bad_request,
    model_not_found,
    shown,
)
from ._model import Model
from ._options import model_options
from ._pump import loop_has_ended, running_loop
from ._threads import run_in_thread

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from ._options import EngineOptions, ModelOptions

__all__ = ["Registry"]

_DEFAULT_NAME = "default"
_ANY_NAME = "*"
# Deleted names that are kept before one that only "*" answers to is refused: there is no end of those.
_MOST_DELETED = 1024


class Registry:
    """Models by name, and the memory they share.

    Args:
        model: Path of the only model, which then is named by its stem, `"default"` and `alias`.
        models: Name -> path, or options with a path, of several.
        alias: Further names of `model`.
        aliases: Further name -> name of a model. The name `"*"` stands for every unknown one.
        memory_budget: Bytes that loaded models may take together; `None`: no limit.
        defaults: Options of each model that does not say otherwise.
        on_progress: Called with the fraction loaded of whichever model loads.

    Raises:
        OptionError: A name, an option or the combination is wrong.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None,
        models: Mapping[str, str | os.PathLike[str] | ModelOptions] | None,
        *,
        alias: str | Sequence[str] | None,
        aliases: Mapping[str, str] | None,
        memory_budget: int | None,
        defaults: Mapping[str, Any],
        on_progress: Callable[[float], object] | None,
    ) -> None:
        _check_budget(memory_budget)
        if on_progress is not None and not callable(on_progress):
            raise OptionError("on_progress", on_progress, "callable")
        self._budget = memory_budget
        self._models: list[Model] = []
        self._names: dict[str, Model] = {}
        self._deleted: set[str] = set()
        for options, names in _entries(model, models, alias, defaults):
            made = Model(options, on_progress, None if memory_budget is None else self._room_for)
            self._models.append(made)
            self._names.update(dict.fromkeys(names, made))
        for name, target in _checked_aliases(aliases):
            if target not in self._names:
                raise OptionError("aliases", aliases, f"name -> one of {', '.join(map(repr, self.names))}")
            self._names[name] = self._names[target]

        # What each model was let in with.
        self._n_bytes: dict[Model, int] = {}
        self._turn = anyio.Lock()
        self._turn_loop: object = None
        self._is_closed = False
        self._n_clients = 0

    # -- names

    @property
    def names(self) -> list[str]:
        """Every name a model is known by, in the order given."""
        return [name for name in self._names if name != _ANY_NAME]

    @property
    def first_names(self) -> list[str]:
        """One name of each model, the first that it was given."""
        firsts: dict[Model, str] = {}
        for name, model in self._names.items():
            if name != _ANY_NAME:
                firsts.setdefault(model, name)
        return list(firsts.values())

    @property
    def only(self) -> Model:
        """The only model.

        Raises:
            OptionError: There is not exactly one.
        """
        models = set(self._names.values())
        if len(models) != 1:
            raise OptionError("model", None, f"one of {', '.join(map(repr, self.names))}")
        return models.pop()

    @property
    def has_one(self) -> bool:
        """Whether there is exactly one model."""
        return len(set(self._names.values())) == 1

    def resolve(self, name: object) -> Model:
        """Return the model of a name.

        Raises:
            BadRequestError: It is not text.
            NotFoundError: Nothing goes by it.
        """
        if not isinstance(name, str):
            raise bad_request("model", f"model is {shown(name)}, but must be text")
        model = self._names.get(name)
        if model is None and name not in self._deleted:
            model = self._names.get(_ANY_NAME)
        if model is None:
            raise model_not_found(name, self.names)
        return model

    async def forget(self, name: str) -> None:
        """Take a name away. A model without any other is unloaded once idle, and forgotten.

        Raises:
            NotFoundError: Nothing goes by it.
            BadRequestError: Only "*" answers to it, and too many names are kept from that already.
        """
        model = self.resolve(name)
        if name not in self._names and len(self._deleted) >= _MOST_DELETED:
            raise bad_request(
                "model",
                f"model is {shown(name)}, a name of '*' only, of which {_MOST_DELETED} were deleted: delete '*'",
            )
        self._names.pop(name, None)
        if _ANY_NAME in self._names:
            # Not even that answers to it.
            self._deleted.add(name)
        else:
            self._deleted.clear()
        if model not in self._names.values():
            # It has no name any more: whoever gave up here would leave it loaded for good.
            with anyio.CancelScope(shield=True):
                await model.unload()
                await model.close()
            self._n_bytes.pop(model, None)
            if model in self._models:
                self._models.remove(model)

    # -- life

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    @property
    def is_open(self) -> bool:
        """Whether a model holds memory that nobody has begun to give back."""
        return any(model.is_open for model in self._models)

    async def close(self) -> None:
        """End every request and free all models. Idempotent; cancelling it lets the closing go on by itself.

        Raises:
            EventLoopError: Another event loop is at work with one of them; then all stay as they are.
        """
        for model in self._models:
            model.bind()
        self._is_closed = True
        for model in self._models:
            model.close_soon()
        for model in list(self._models):
            await model.close()

    def attach(self, client: object, closed_by: str) -> None:
        """Close with the last client that is collected, and warn if nobody else did.

        Args:
            client: A client over these models.
            closed_by: How it should have been closed.
        """
        self._n_clients += 1
        weakref.finalize(client, self._detach, type(client).__name__, closed_by).atexit = False

    # In a finalizer, which may run anywhere: begins to close and no more, for it must not wait for threads. Warns here
    # rather than in a client's `__del__`, which comes after this where the client is part of a cycle, as it is with its
    # resources.
    def _detach(self, kind: str, closed_by: str) -> None:
        self._n_clients -= 1
        if self._n_clients > 0:
            return
        was_open, self._is_closed = self.is_open, True
        for model in self._models:
            model.abandon()
        if was_open:
            names = ", ".join(map(repr, self.names))
            warnings.warn(
                f"unclosed <{kind} {names}>: use {closed_by}",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )

    # -- memory

    @asynccontextmanager
    async def _room_for(self, model: Model, options: EngineOptions) -> AsyncIterator[None]:
        """Enter when the model fits into the budget beside those loaded; first come, first served."""
        assert self._budget is not None
        async with self._its_turn():
            if not model.has_memory:
                n_bytes = await run_in_thread(lambda: _estimate(options))
                if n_bytes > self._budget:
                    raise ModelLoadError(
                        options.path,
                        f"it needs about {n_bytes} bytes, more than memory_budget, which is {self._budget}",
                        param="memory_budget",
                    )
                while self._n_taken() + n_bytes > self._budget:
                    await self._make_room()
                self._n_bytes[model] = n_bytes
            yield

    @asynccontextmanager
    async def _its_turn(self) -> AsyncIterator[None]:
        loop = running_loop()
        if loop is not self._turn_loop:
            if self._turn.locked() and not loop_has_ended(self._turn_loop):
                raise EventLoopError("another event loop is loading a model of this client; use one client per loop")
            # A lock belongs to the loop that used it first.
            self._turn, self._turn_loop = anyio.Lock(), loop
        async with self._turn:
            yield

    def _n_taken(self) -> int:
        return sum(n_bytes for model, n_bytes in self._n_bytes.items() if model.has_memory)

    async def _make_room(self) -> None:
        """Unload the idle model that was used least recently, or wait until one is idle."""
        held = [model for model in self._n_bytes if model.has_memory]
        resting = [model for model in held if not model.is_open or model.is_idle]
        if resting:
            await min(resting, key=lambda model: model.idle_since).unload()
            return
        # All are at work. Any of them will do, but one takes no more requests: where they never cease, it would
        # never be idle.
        oldest = min(held, key=lambda model: model.idle_since)
        await _first(oldest.unload, *(model.wait_idle for model in held if model is not oldest))


async def _first(*waits: Callable[[], Awaitable[None]]) -> None:
    """Return when one of them has; the others are cancelled."""
    errors: list[OpenAIError] = []
    async with anyio.create_task_group() as tasks:

        async def run(wait: Callable[[], Awaitable[None]]) -> None:
            try:
                await wait()
            except OpenAIError as error:
                # Out of the group, which would wrap it.
                errors.append(error)
            tasks.cancel_scope.cancel()

        for wait in waits:
            tasks.start_soon(run, wait)
    if errors:
        raise errors[0]


def _estimate(options: EngineOptions) -> int:
    try:
        return estimate_bytes(options)
    except NativeError:
        # It cannot be loaded: loading it says why.
        return 0


# -- the arguments -----------------------------------------------------------------------------------------------------


def _entries(
    model: str | os.PathLike[str] | None,
    models: Mapping[str, str | os.PathLike[str] | ModelOptions] | None,
    alias: str | Sequence[str] | None,
    defaults: Mapping[str, Any],
) -> Iterator[tuple[EngineOptions, list[str]]]:
    """Yield each model and its names."""
    if models is None:
        if model is None:
            raise OptionError("model", None, "the path of a GGUF file")
        options = model_options("model", model, defaults)
        yield options, [options.stem, _DEFAULT_NAME, *_checked_alias(alias)]
        return
    if model is not None:
        raise OptionError("models", models, "left out where model is given")
    if alias is not None:
        raise OptionError("alias", alias, "left out where models is given: aliases says which of them is meant")
    given_models: object = models
    if not isinstance(given_models, Mapping) or not models or not all(map(_is_name, models)) or _ANY_NAME in models:
        raise OptionError("models", models, "a mapping of names (other than '*') to paths or options, not empty")
    for name, given in models.items():
        yield model_options(f"models[{name!r}]", given, defaults), [name]


def _checked_alias(alias: object) -> Sequence[str]:
    aliases = (alias,) if isinstance(alias, str) else alias
    if aliases is None:
        return ()
    if not isinstance(aliases, Sequence) or not all(map(_is_name, aliases)):
        raise OptionError("alias", alias, "a name, or a list of names")
    return aliases


def _checked_aliases(aliases: object) -> Sequence[tuple[str, str]]:
    if aliases is None:
        return ()
    if not isinstance(aliases, Mapping) or not all(map(_is_name, (*aliases, *aliases.values()))):
        raise OptionError("aliases", aliases, "a mapping of names to names of models")
    return list(aliases.items())


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name)


def _check_budget(memory_budget: object) -> None:
    if memory_budget is None:
        return
    if isinstance(memory_budget, bool) or not isinstance(memory_budget, int) or memory_budget <= 0:
        raise OptionError("memory_budget", memory_budget, "bytes, an integer above 0, or None")

"""From what a user calls a model to a file: found, or fetched before his eyes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llama_async._errors import ModelLoadError, OptionError

from .terminal import escaped, messages, size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llama_async._hub import ModelSource, Pulled, Report

__all__ = ["fetch", "model_file"]


def model_file(name: str, *, quiet: bool = False) -> Path:
    """Return the file of a model for commands that use one: what is here is taken without asking the hub.

    Raises:
        DownloadError: It cannot be had.
        ModelLoadError: It is a file's path, and there is no file.
        OptionError: It is no name of a model.
    """
    from llama_async._hub import FileSource, Hub, RepoSource, Settings, parse_source

    settings = Settings.from_environment()
    source = parse_source(name, endpoint=settings.endpoint)
    if isinstance(source, FileSource):
        if not source.path.is_file():
            raise ModelLoadError(name, "there is no such file")
        return source.path
    if isinstance(source, RepoSource) and (found := Hub(settings).find(source)) is not None:
        return found.path
    (pulled,) = fetch(source, quiet=quiet, only_one=True)
    return pulled.path


def fetch(source: ModelSource, *, quiet: bool = False, only_one: bool = False) -> list[Pulled]:
    """Fetch what is not here, with a progress bar on a terminal and a line for each file elsewhere.

    Args:
        source: What.
        quiet: Whether nothing is shown.
        only_one: Whether a glob must mean one model.

    Raises:
        DownloadError: It cannot be had.
    """
    from llama_async._default_model import default_model_path
    from llama_async._hub import DefaultSource, FileSource, Hub, Pulled, RepoSource, Settings, pull_url

    settings = Settings.from_environment()
    if isinstance(source, FileSource):
        raise OptionError("model", str(source.path), "owner/repo, hf://..., a URL or 'default': a path is not fetched")
    if isinstance(source, DefaultSource):
        path = default_model_path()
        return [Pulled("default", (path,), path.stat().st_size, is_new=False)]
    with _progress(quiet=quiet) as report:
        if isinstance(source, RepoSource):
            pulled = Hub(settings, report=report).pull(source, only_one=only_one)
        else:
            pulled = [pull_url(source, settings, report=report)]
    for note in {one.note for one in pulled if one.note is not None}:
        messages().print(f"[yellow]note:[/] {escaped(note)}; what is in the cache is used", soft_wrap=True)
    return pulled


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Report]:
    if quiet:
        yield lambda name, done, total: None  # noqa: ARG005
    elif messages().is_terminal:
        with _bars() as report:
            yield report
    else:
        yield _Lines()


@contextmanager
def _bars() -> Iterator[Report]:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=messages()) as progress:
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                # What an earlier attempt brought does not count for the speed.
                tasks[name] = progress.add_task(escaped(name.rpartition("/")[2]), total=total, completed=done)
            progress.update(tasks[name], completed=done, total=total)

        yield report


class _Lines:
    """Reports for a log: a line when a file begins, one each half minute, one at its end."""

    _EVERY_S = 30.0

    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}

    def __call__(self, name: str, done: int, total: int | None) -> None:
        is_first, is_last = name not in self._said_at, done == total
        now = time.monotonic()
        if not (is_first or is_last or now - self._said_at[name] >= self._EVERY_S):
            return
        self._said_at[name] = now
        of = "" if total is None else f" of {size(total)}"
        messages().print(f"{escaped(name)}: {size(done)}{of}", soft_wrap=True)

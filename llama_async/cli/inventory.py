"""The models of this machine: in the hub's cache, from URLs, the default one; and what they say they are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama_async._errors import DownloadError, OpenAIError
from llama_async._gguf import GgufArray, GgufFile, read_gguf
from llama_async._hub import CachedModel, FileSource, Hub, HubCache, RepoSource, Settings, cached_urls, parse_source
from llama_async._hub.listing import quantization
from llama_async._hub.url import CachedUrl, remove_url, urls_dir

from .terminal import escaped, size

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

__all__ = ["Entry", "description", "facts_of", "find", "inventory", "matching", "partial_files", "table", "template_of"]

_TEMPLATE = "tokenizer.chat_template"
_N_TEXT_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that is here.

    Attributes:
        name: By which commands know it.
        path: Its first file.
        size_bytes: Of all its files.
        modified: When it came, seconds since the epoch.
        cached: The cache's own record of it; `None`: the default model.
    """

    name: str
    path: Path
    size_bytes: int
    modified: float
    cached: CachedModel | CachedUrl | None

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "name": self.name,
            "path": str(self.path),
            "size_bytes": self.size_bytes,
            "quantization": quantization(self.path.name),
            "modified": int(self.modified),
            "revision": self.cached.commit if isinstance(self.cached, CachedModel) else None,
        }

    def remove(self) -> int:
        """Delete it and return the bytes freed.

        Raises:
            DownloadError: The cache cannot be written.
        """
        try:
            if isinstance(self.cached, CachedModel):
                return HubCache(Settings.from_environment().cache).remove(self.cached)
            if self.cached is not None:
                return remove_url(self.cached)
            self.path.unlink()
        except OSError as error:
            raise DownloadError(self.name, f"it cannot be removed: {error}", code="cache") from error
        return self.size_bytes


def inventory() -> list[Entry]:
    """Return every whole model that is here."""
    from llama_async._default_model import default_model_path

    entries = []
    try:
        path = default_model_path(download=False)
        entries.append(Entry("default", path, path.stat().st_size, path.stat().st_mtime, None))
    except OpenAIError:
        pass
    entries += [
        Entry(cached.name, cached.path, cached.model.size_bytes, cached.modified, cached)
        for cached in HubCache(Settings.from_environment().cache).models()
    ]
    for url in cached_urls():
        status = url.path.stat()
        entries.append(Entry(url.url, url.path, status.st_size, status.st_mtime, url))
    return entries


def matching(name: str) -> list[Entry]:
    """Return the models of a name: all of a repository, or one.

    Raises:
        DownloadError: There is none.
    """
    entries = inventory()
    found = [entry for entry in entries if name in {entry.name, str(entry.path)}]
    found = found or [entry for entry in entries if entry.name.startswith(f"{name}:")]
    if not found:
        path = find(name)
        found = [entry for entry in entries if entry.path == path]
    if not found:
        raise _unknown(name)
    return found


def find(name: str) -> Path:
    """Return the file of a model that is here; fetches nothing.

    Raises:
        DownloadError: There is none.
    """
    settings = Settings.from_environment()
    for entry in inventory():
        if name == entry.name:
            return entry.path
    source = parse_source(name, endpoint=settings.endpoint)
    if isinstance(source, FileSource) and source.path.is_file():
        return source.path
    if isinstance(source, RepoSource) and (found := Hub(settings).find(source)) is not None:
        return found.path
    raise _unknown(name)


def partial_files() -> list[Path]:
    """Return what interrupted downloads have left."""
    return [*HubCache(Settings.from_environment().cache).partial_files(), *sorted(urls_dir().glob("*/*.incomplete"))]


def table(entries: list[Entry]) -> Table:
    """Return the list for people."""
    from rich.table import Table

    result = Table(box=None, pad_edge=False, header_style="bold")
    result.add_column("MODEL", overflow="fold")
    for title in ("SIZE", "QUANT", "CAME"):
        result.add_column(title, no_wrap=True, justify="right" if title == "SIZE" else "left")
    for entry in entries:
        came = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.modified))
        result.add_row(escaped(entry.name), size(entry.size_bytes), quantization(entry.path.name) or "-", came)
    return result


def template_of(path: Path) -> str | None:
    """Return the chat template of a model, if it has one."""
    value = read_gguf(path).metadata.get(_TEMPLATE)
    return value if isinstance(value, str) else None


def facts_of(path: Path) -> dict[str, Any]:
    """Return all that a file says, for JSON: long arrays as their length and beginning."""
    read = read_gguf(path)
    return {
        "path": str(path),
        "size_bytes": path.stat().st_size,
        "gguf_version": read.version,
        "n_tensors": read.n_tensors,
        "n_parameters": read.n_parameters,
        "tensor_types": dict(read.tensor_types),
        "metadata": {key: _plain(value) for key, value in read.metadata.items()},
    }


def description(path: Path, *, everything: bool) -> Table:
    """Return what a file says, for people."""
    from rich.table import Table

    read = read_gguf(path)
    result = Table(box=None, pad_edge=False, show_header=False)
    result.add_column(style="bold", no_wrap=True)
    result.add_column(overflow="fold")
    for name, shown in _highlights(path, read):
        if shown is not None:
            result.add_row(name, escaped(shown))
    if everything:
        result.add_section()
        for key, value in read.metadata.items():
            result.add_row(escaped(key), escaped(_shown(value)))
    return result


def _highlights(path: Path, read: GgufFile) -> list[tuple[str, str | None]]:
    def text(key: str) -> str | None:
        value = read.metadata.get(key)
        return None if value is None else _shown(value)

    def count(key: str) -> str | None:
        number = read.number(key)
        return None if number is None else f"{number:,}"

    vocabulary = read.metadata.get("tokenizer.ggml.tokens")
    types = ", ".join(f"{n} {kind}" for kind, n in read.tensor_types.items())
    parts = read.number("split.count")
    of_all = f" (in the first of {parts} parts)" if parts and parts > 1 else ""
    return [
        ("file", str(path)),
        ("size", size(path.stat().st_size) + of_all),
        ("name", text("general.name")),
        ("architecture", text("general.architecture")),
        ("license", text("general.license")),
        ("parameters", f"{read.n_parameters:,}{of_all}"),
        ("quantization", quantization(path.name)),
        ("tensors", f"{read.n_tensors} ({types})"),
        ("context", count("{arch}.context_length")),
        ("layers", count("{arch}.block_count")),
        ("embedding", count("{arch}.embedding_length")),
        ("heads", count("{arch}.attention.head_count")),
        ("vocabulary", f"{vocabulary.n:,}" if isinstance(vocabulary, GgufArray) else None),
        ("tokenizer", text("tokenizer.ggml.model")),
        ("chat template", "yes" if _TEMPLATE in read.metadata else "no"),
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, GgufArray):
        return {"n": value.n, "first": [_plain(one) for one in value.first]}
    return value


def _shown(value: Any) -> str:
    if isinstance(value, GgufArray):
        first = ", ".join(_shown(one) for one in value.first)
        return f"[{first}{', ...' if value.n > len(value.first) else ''}] ({value.n:,})"
    text = " ".join(str(value).split()) if isinstance(value, str) else str(value)
    return text if len(text) <= _N_TEXT_SHOWN else f"{text[:_N_TEXT_SHOWN]}... ({len(text):,} characters)"


def _unknown(name: str) -> DownloadError:
    return DownloadError(name, "it is not in the cache; `llama-async models list` shows what is", code="not_found")

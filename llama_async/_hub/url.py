"""A file of any web server, kept by its address. What came is known by its hash, also where nobody said what it is."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from llama_async._cache import cache_dir
from llama_async._errors import DownloadError

from .http import http_client, url_refusal
from .hub import Pulled, locked
from .transfer import Expected, Transfer, cache_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .hub import Report
    from .settings import Settings
    from .source import UrlSource

__all__ = ["CachedUrl", "cached_urls", "pull_url", "remove_url", "urls_dir"]

_FACTS = "source.json"


@dataclass(frozen=True, slots=True)
class CachedUrl:
    """A file that came from a URL: where it is, and from where it is (without what may be secret in it)."""

    path: Path
    url: str
    sha256: str


def urls_dir() -> Path:
    """Where files of URLs are kept."""
    return cache_dir() / "models" / "urls"


def cached_urls() -> Iterator[CachedUrl]:
    """Return what is kept, by address."""
    found = []
    for directory in urls_dir().glob("*"):
        facts = _facts(directory)
        path = directory / str(facts.get("name", ""))
        if facts.get("sha256") and path.is_file():
            found.append(CachedUrl(path, str(facts.get("url")), str(facts["sha256"])))
    yield from sorted(found, key=lambda cached: cached.url)


def pull_url(
    source: UrlSource, settings: Settings, *, report: Report, is_cancelled: Callable[[], bool] = lambda: False
) -> Pulled:
    """Return the file of a URL, fetched unless it is here.

    Without a hash to compare, what came first from an address stays what it is; with one, something else is replaced.

    Raises:
        DownloadError: It cannot be had, or is not what it must be.
    """
    directory = urls_dir() / hashlib.sha256(source.url.encode()).hexdigest()[:16]
    name = _file_name(source.url)
    target, part = directory / name, directory / f"{name}.incomplete"
    with cache_errors(str(source), directory):
        if _is_here(directory, target, source):
            return Pulled(str(source), (target,), target.stat().st_size, is_new=False)
        if settings.is_offline:
            reason = "the network may not be used (HF_HUB_OFFLINE), and it is not in the cache"
            raise DownloadError(str(source), reason, code="offline")
        with locked(directory / ".lock", str(source), is_cancelled), http_client(settings) as http:
            if _is_here(directory, target, source):
                return Pulled(str(source), (target,), target.stat().st_size, is_new=False)
            facts = {"url": str(source), "name": name}
            begun = _facts(directory)
            digest = Transfer(
                http=http,
                url=source.url,
                target=target,
                part=part,
                expected=Expected(sha256=source.sha256),
                source=str(source),
                refusal=lambda response: url_refusal(str(source), response),
                on_bytes=lambda done, total: report(name, done, total),
                is_cancelled=is_cancelled,
                if_range=begun.get("part_etag"),
                on_etag=lambda etag: _note(directory, {**facts, "part_etag": etag}),
            ).run()
            _note(directory, {**facts, "sha256": digest})
    return Pulled(str(source), (target,), target.stat().st_size, is_new=True)


def remove_url(cached: CachedUrl) -> int:
    """Delete what came from a URL and return the bytes freed.

    Raises:
        OSError: It cannot be deleted.
    """
    n_bytes = cached.path.stat().st_size
    # First what says that it is whole.
    (cached.path.parent / _FACTS).unlink()
    cached.path.unlink()
    return n_bytes


def _is_here(directory: Path, target: Path, source: UrlSource) -> bool:
    digest = _facts(directory).get("sha256")
    return digest is not None and target.is_file() and source.sha256 in {None, digest}


def _file_name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    name = re.sub(r"[^\w.+-]", "_", name).lstrip(".")[-200:]
    return name if name and name != _FACTS else "model.gguf"


def _facts(directory: Path) -> dict[str, Any]:
    try:
        facts = json.loads((directory / _FACTS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) and isinstance(facts.get("name", ""), str) else {}


def _note(directory: Path, facts: dict[str, Any]) -> None:
    scratch = directory / f"{_FACTS}.new"
    scratch.write_text(json.dumps(facts), "utf-8")
    scratch.replace(directory / _FACTS)

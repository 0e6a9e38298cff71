"""What a user calls a model, taken apart: a file, a repository of a hub, a URL, the default model. Pure: opens nothing.

The forms: `owner/repo`, `owner/repo:Q4_K_M`, `owner/repo:*Q4*.gguf`, `owner/repo/dir/file.gguf`, each with `@revision`
after the repository and `hf://` before it; a hub's own web addresses; other URLs, with `#sha256=...`; a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from llama_async._errors import OptionError

__all__ = [
    "DEFAULT",
    "DefaultSource",
    "FileSource",
    "ModelSource",
    "RepoSource",
    "UrlSource",
    "parse_source",
    "repo_source",
]

DEFAULT = "default"
MAIN = "main"

_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_REPO = re.compile(
    rf"(?P<repo>{_NAME}/{_NAME})(?:@(?P<revision>refs/(?:pr|convert)/[\w.-]+|[^@:/]+))?"
    r"(?:(?::(?P<selection>.+))|(?:/(?P<path>.+)))?"
)
_REPO_ID = re.compile(rf"{_NAME}/{_NAME}|{_NAME}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_FORMS = (
    "a GGUF file, owner/repo[:QUANTIZATION or glob], hf://owner/repo[@revision][/file], a URL with http:// or "
    f"https://, or {DEFAULT!r}"
)


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of this machine; it need not exist."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class RepoSource:
    """Files of a repository of the hub.

    `selection` is a path in it, a glob, or the name of a quantization; `None`: the one that most people want.
    """

    repo_id: str
    revision: str = MAIN
    selection: str | None = None

    def __str__(self) -> str:
        revision = "" if self.revision == MAIN else f"@{self.revision}"
        return f"{self.repo_id}{revision}" + (f":{self.selection}" if self.selection else "")


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A file of any web server; `sha256` (lower case) is what it must be, if known."""

    url: str
    sha256: str | None = None

    def __str__(self) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))


@dataclass(frozen=True, slots=True)
class DefaultSource:
    """The default model, from the package index."""

    def __str__(self) -> str:
        return "the default model"


ModelSource: TypeAlias = "FileSource | RepoSource | UrlSource | DefaultSource"


def parse_source(text: str, *, endpoint: str, revision: str | None = None, sha256: str | None = None) -> ModelSource:
    """Return what `text` names. An existing file wins over a repository of the same name.

    Args:
        text: As a user typed it.
        endpoint: The hub's address; web addresses below it are repositories.
        revision: Branch, tag or commit of a repository.
        sha256: What the file of a URL must be.

    Raises:
        OptionError: It is none of the forms, or `revision` or `sha256` does not go with it.
    """
    source = _parsed(text, endpoint)
    if revision is not None:
        if not isinstance(source, RepoSource):
            raise OptionError("revision", revision, f"left out for {source}, which is no repository")
        source = replace(source, revision=_checked_revision(revision))
    if sha256 is not None:
        if not isinstance(source, UrlSource):
            raise OptionError("sha256", sha256, f"left out for {source}: only a URL needs one")
        source = replace(source, sha256=_checked_sha256(sha256))
    return source


def repo_source(repo_id: object, filename: object = None, revision: object = None) -> RepoSource:
    """Return what the arguments of `from_pretrained` name.

    Args:
        repo_id: `owner/repo`, or any form of it that names a quantization or revision too.
        filename: A path in it, a glob or a quantization; wins over that of `repo_id`.
        revision: Branch, tag or commit; wins over that of `repo_id`.

    Raises:
        OptionError: One of them is none.
    """
    for name, value in (("filename", filename), ("revision", revision)):
        if value is not None and (not isinstance(value, str) or not value):
            raise OptionError(name, value, "text")
    name = repo_id.removeprefix("hf://").removeprefix("models/") if isinstance(repo_id, str) else ""
    if not _REPO.fullmatch(name):
        raise OptionError("repo_id", repo_id, "owner/repo, or owner/repo:QUANTIZATION")
    source = _repo(name, name)
    if isinstance(filename, str):
        source = replace(source, selection=filename)
    if isinstance(revision, str):
        source = replace(source, revision=_checked_revision(revision))
    return source


def checked_repo_id(repo_id: object) -> str:
    """Return the name of a repository.

    Raises:
        OptionError: It is none.
    """
    if not isinstance(repo_id, str) or not _REPO_ID.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id:
        raise OptionError("repo_id", repo_id, "owner/name, of letters, digits, '-', '_' and '.'")
    return repo_id


def _parsed(text: str, endpoint: str) -> ModelSource:
    if text == DEFAULT:
        return DefaultSource()
    if text.startswith("hf://"):
        return _repo(text, text[5:].removeprefix("models/"))
    if text.startswith(("http://", "https://")):
        return _web(text, endpoint)
    if not text or "\0" in text:
        raise OptionError("model", text, _FORMS)
    path = Path(text).expanduser()
    if path.is_file() or text.startswith(("/", "./", "../", "~")) or path.is_absolute():
        return FileSource(path)
    if _REPO.fullmatch(text):
        return _repo(text, text)
    if "://" in text:
        raise OptionError("model", text, _FORMS)
    return FileSource(path)


def _repo(text: str, name: str) -> RepoSource:
    match = _REPO.fullmatch(name)
    if match is None:
        raise OptionError("model", text, _FORMS)
    selection = match["selection"] or match["path"]
    revision = match["revision"]
    return RepoSource(checked_repo_id(match["repo"]), MAIN if revision is None else revision, selection)


def _web(text: str, endpoint: str) -> ModelSource:
    parts = urlsplit(text)
    if not parts.hostname:
        raise OptionError("model", text, _FORMS)
    base = urlsplit(endpoint)
    path = parts.path
    if parts.netloc == base.netloc and path.startswith(base.path):
        path = path[len(base.path) :]
    elif parts.hostname not in _HUB_HOSTS:
        digest = parts.fragment.removeprefix("sha256=") if parts.fragment.startswith("sha256=") else None
        url = urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, ""))
        return UrlSource(url, None if digest is None else _checked_sha256(digest))
    owner, _, rest = unquote(path).strip("/").partition("/")
    name, _, rest = rest.partition("/")
    source = RepoSource(checked_repo_id(f"{owner}/{name}"))
    kind, _, rest = rest.partition("/")
    if kind in {"resolve", "blob", "tree", "raw"} and rest:
        revision, _, file = rest.partition("/")
        source = replace(source, revision=_checked_revision(revision), selection=file or None)
    return source


def _checked_revision(revision: str) -> str:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", revision) or ".." in revision:
        raise OptionError("revision", revision, "a branch, a tag or a commit")
    return revision


def _checked_sha256(digest: str) -> str:
    if not _SHA256.fullmatch(digest.lower()):
        raise OptionError("sha256", digest, "64 hexadecimal digits")
    return digest.lower()

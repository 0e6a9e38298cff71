"""The directory that the hub's tools share: contents by their hash, revisions as trees of links to them.

    models--owner--name/blobs/<hash>                    a file's content
    models--owner--name/snapshots/<commit>/<path>       a link to it
    models--owner--name/refs/<branch or tag>            the commit it last was
    .locks/models--owner--name/<hash>.lock              who writes that content

The layout is huggingface_hub's (its documentation, "Understand caching"), so what one tool has fetched the other finds.
Knows no network.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .listing import ModelFiles, RemoteFile, models_in

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CachedModel", "HubCache"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PREFIX = "models--"


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A GGUF model in the cache.

    Attributes:
        repo_id: Its repository.
        commit: The revision it is of.
        model: Its files, paths in the repository.
        path: Its first file here.
        modified: When it came, seconds since the epoch.
    """

    repo_id: str
    commit: str
    model: ModelFiles
    path: Path
    modified: float

    @property
    def name(self) -> str:
        """By which it can be asked for."""
        return f"{self.repo_id}:{self.model.path}"


class HubCache:
    """The cache below one directory, which need not exist.

    Args:
        root: The directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- places

    def repo(self, repo_id: str) -> Path:
        """Where everything of a repository is."""
        return self.root / (_PREFIX + repo_id.replace("/", "--"))

    def blob(self, repo_id: str, etag: str) -> Path:
        """Where a content is."""
        return self.repo(repo_id) / "blobs" / etag

    def lock(self, repo_id: str, etag: str) -> Path:
        """What whoever writes a content holds."""
        return self.root / ".locks" / self.repo(repo_id).name / f"{etag}.lock"

    def pointer(self, repo_id: str, commit: str, path: str) -> Path:
        """Where a file of a revision is."""
        return self.repo(repo_id).joinpath("snapshots", commit, *path.split("/"))

    # -- reading

    def commit_of(self, repo_id: str, revision: str) -> str | None:
        """Return the commit that a revision was when it was last looked at; `None`: it never was."""
        if is_commit(revision):
            return revision
        try:
            return self.repo(repo_id).joinpath("refs", *revision.split("/")).read_text("ascii").strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def commits(self, repo_id: str, revision: str) -> list[str]:
        """Return the commits that may stand for a revision without asking the hub: its own, then the newest others."""
        own = self.commit_of(repo_id, revision)
        if is_commit(revision):
            return [revision]
        try:
            others = sorted(self.repo(repo_id).joinpath("snapshots").iterdir(), key=_mtime, reverse=True)
        except OSError:
            others = []
        return ([own] if own else []) + [path.name for path in others if path.name != own and path.is_dir()]

    def files(self, repo_id: str, commit: str) -> list[RemoteFile]:
        """Return the files of a revision that are here."""
        top = self.repo(repo_id) / "snapshots" / commit
        # A link whose content is gone is no file.
        paths = [path for path in sorted(top.rglob("*")) if path.is_file()]
        return [RemoteFile(path.relative_to(top).as_posix(), path.stat().st_size) for path in paths]

    def models(self) -> list[CachedModel]:
        """Return every whole GGUF model that is here, by name."""
        return sorted(self._models(), key=lambda cached: (cached.repo_id, cached.model.path, -cached.modified))

    def _models(self) -> Iterator[CachedModel]:
        for directory in self.root.glob(f"{_PREFIX}*"):
            repo_id = directory.name[len(_PREFIX) :].replace("--", "/", 1)
            for snapshot in directory.glob("snapshots/*"):
                for model in models_in(self.files(repo_id, snapshot.name)):
                    if model.missing is not None:
                        continue
                    path = self.pointer(repo_id, snapshot.name, model.path)
                    yield CachedModel(repo_id, snapshot.name, model, path, path.stat().st_mtime)

    def partial_files(self) -> list[Path]:
        """Return what downloads that did not end have left, to go on from."""
        return sorted(self.root.glob(f"{_PREFIX}*/blobs/*.incomplete"))

    # -- writing

    def link(self, repo_id: str, commit: str, path: str, etag: str) -> Path:
        """Make a content a file of a revision, in one step, and return where it is.

        Raises:
            OSError: The cache cannot be written.
        """
        pointer, blob = self.pointer(repo_id, commit, path), self.blob(repo_id, etag)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        if pointer.exists() and (not pointer.is_symlink() or pointer.resolve() == blob.resolve()):
            return pointer
        target = os.path.relpath(blob, pointer.parent)
        scratch = pointer.with_name(f".{uuid.uuid4().hex}.link")
        try:
            scratch.symlink_to(target)
        except (OSError, NotImplementedError):
            # No links here: the file itself goes where the link would be, as huggingface_hub does it.
            blob.replace(pointer)
            return pointer
        try:
            scratch.replace(pointer)
        finally:
            scratch.unlink(missing_ok=True)
        return pointer

    def note_revision(self, repo_id: str, revision: str, commit: str) -> None:
        """Remember that a branch or tag is a commit.

        Raises:
            OSError: The cache cannot be written.
        """
        if is_commit(revision) or self.commit_of(repo_id, revision) == commit:
            return
        ref = self.repo(repo_id).joinpath("refs", *revision.split("/"))
        ref.parent.mkdir(parents=True, exist_ok=True)
        scratch = ref.with_name(f".{uuid.uuid4().hex}.ref")
        scratch.write_text(commit, "ascii")
        scratch.replace(ref)

    def remove(self, cached: CachedModel) -> int:
        """Delete a model, contents that nothing else links to, and a revision or repository that becomes empty.

        Returns:
            Bytes freed.

        Raises:
            OSError: The cache cannot be written.
        """
        repo = self.repo(cached.repo_id)
        pointers = [self.pointer(cached.repo_id, cached.commit, file.path) for file in cached.model.files]
        blobs = {pointer.resolve() for pointer in pointers if pointer.is_symlink()}
        n_bytes = sum(pointer.stat().st_size for pointer in pointers if not pointer.is_symlink())
        for pointer in pointers:
            pointer.unlink()
        still_linked = {path.resolve() for path in repo.glob("snapshots/**/*") if path.is_symlink()}
        for blob in blobs - still_linked:
            # A content elsewhere is shared by more than this repository.
            if blob.parent == (repo / "blobs").resolve():
                n_bytes += blob.stat().st_size
                blob.unlink()
        self._tidy(repo, cached.commit)
        return n_bytes

    def _tidy(self, repo: Path, commit: str) -> None:
        snapshot = repo / "snapshots" / commit
        if any(not path.is_dir() for path in snapshot.rglob("*")):
            return
        shutil.rmtree(snapshot)
        # A name for a revision that is not here makes other tools call the repository broken.
        for ref in [path for path in (repo / "refs").rglob("*") if path.is_file()]:
            if ref.read_text("ascii", errors="replace").strip() == commit:
                ref.unlink()
        if not any(path.is_file() for path in repo.rglob("*")):
            shutil.rmtree(repo)
            shutil.rmtree(self.root / ".locks" / repo.name, ignore_errors=True)


def is_commit(revision: str) -> bool:
    """Whether a revision can never become another."""
    return _COMMIT.fullmatch(revision) is not None


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0

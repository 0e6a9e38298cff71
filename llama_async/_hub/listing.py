"""Which files of a repository a user means: by path, by glob, by quantization. Pure: knows names and sizes only.

A model split into `-00001-of-00003.gguf` parts is one model; it is taken whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from llama_async._errors import DownloadError, shown

__all__ = ["ModelFiles", "RemoteFile", "is_safe_path", "models_in", "quantization", "select", "select_one"]

_PART = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_QUANTIZATION = re.compile(
    r"(?:^|[-._/])(?P<name>(?:UD-)?(?:I?Q\d+(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|F16|F32))(?=$|[-._/])",
    re.IGNORECASE,
)
# What is taken where nobody says: the usual compromise first, then what is next to it.
_PREFERRED = ("Q4_K_M", "Q4_K_S", "Q4_K_XL", "UD-Q4_K_XL", "IQ4_XS", "Q4_0", "Q4_1", "Q5_K_M", "Q8_0", "MXFP4", "F16")
_N_SHOWN = 20


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        path: Where it is in the repository, with `/`.
        size_bytes: `None` where the hub does not say.
        sha256: Of its content, for large files.
        git_oid: Git's name of its content, for small ones.
    """

    path: str
    size_bytes: int | None = None
    sha256: str | None = None
    git_oid: str | None = None

    @property
    def etag(self) -> str | None:
        """The name of its content in the cache; `None`: to be asked for."""
        return self.sha256 or self.git_oid


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model: one file, or the parts of one in their order. `missing` is a part that should be there and is not."""

    files: tuple[RemoteFile, ...]
    missing: str | None = None

    @property
    def path(self) -> str:
        """The first file, which is what is opened."""
        return self.files[0].path

    @property
    def size_bytes(self) -> int:
        """Of all parts, as far as it is known."""
        return sum(file.size_bytes or 0 for file in self.files)

    @property
    def is_projector(self) -> bool:
        """Whether it turns images or sound into embeddings, rather than generate."""
        return "mmproj" in PurePosixPath(self.path).name.lower()

    def __str__(self) -> str:
        return self.path if len(self.files) == 1 else f"{self.path} (and {len(self.files) - 1} more parts)"


def is_safe_path(path: str) -> bool:
    """Whether a path that a server sent stays where it is put."""
    return path.isprintable() and not (
        "\\" in path or ":" in path or path.startswith("/") or {"", ".", ".."} & set(path.split("/"))
    )


def quantization(path: str) -> str | None:
    """Return the name of the quantization that is in a file's path, the last one; `None`: there is none."""
    names = [match["name"] for match in _QUANTIZATION.finditer(path)]
    return names[-1].upper() if names else None


def models_in(files: Iterable[RemoteFile]) -> list[ModelFiles]:
    """Return the GGUF files, parts put together, by name."""
    alone: list[ModelFiles] = []
    parts: dict[tuple[str, int], dict[int, RemoteFile]] = {}
    for file in files:
        if not file.path.lower().endswith(".gguf"):
            continue
        if match := _PART.fullmatch(file.path):
            parts.setdefault((match["stem"], int(match["count"])), {})[int(match["index"])] = file
        else:
            alone.append(ModelFiles((file,)))
    for (stem, count), found in parts.items():
        # Looked for no further than the first gap: the name may promise 99,999.
        gap = next((index for index in range(1, count + 1) if index not in found), None)
        missing = None if gap is None else f"{stem}-{gap:05d}-of-{count:05d}.gguf"
        alone.append(ModelFiles(tuple(file for _, file in sorted(found.items())), missing))
    return sorted(alone, key=lambda model: model.path)


def select(source: str, files: Sequence[RemoteFile], selection: str | None) -> list[ModelFiles]:
    """Return what `selection` means: all that a glob matches, else one model.

    Args:
        source: What error texts call it.
        files: Of the repository.
        selection: A path, a glob, a quantization's name, or `None` for the usual choice.

    Raises:
        DownloadError: Nothing fits, or more than one model does; says what there is.
    """
    if selection is None or not is_glob(selection):
        return [select_one(source, files, selection)]
    models = models_in(files)
    others = [ModelFiles((file,)) for file in files if not file.path.lower().endswith(".gguf")]
    chosen = [model for model in (*models, *others) if _matches(model, selection)]
    if not chosen:
        raise _nothing(source, selection, models)
    return [_whole(source, model) for model in chosen]


def select_one(source: str, files: Sequence[RemoteFile], selection: str | None) -> ModelFiles:
    """Return the one model that `selection` means.

    Raises:
        DownloadError: None fits, or several do; says which there are.
    """
    models = models_in(files)
    if selection is None:
        return _usual(source, models)
    chosen = [model for model in models if any(file.path == selection for file in model.files)]
    if not chosen and is_glob(selection):
        chosen = [model for model in models if _matches(model, selection)]
    elif not chosen:
        chosen = [model for model in models if _is_of(model, selection)]
    if not chosen:
        others = [file for file in files if file.path == selection]
        if others:
            return ModelFiles((others[0],))
        raise _nothing(source, selection, models)
    if len(chosen) > 1:
        chosen = [model for model in chosen if not model.is_projector] or chosen
    if len(chosen) > 1:
        names = _listed(chosen)
        raise DownloadError(source, f"{shown(selection)} fits {len(chosen)} models: {names}", code="not_found")
    return _whole(source, chosen[0])


def _whole(source: str, model: ModelFiles) -> ModelFiles:
    if model.missing is not None:
        raise DownloadError(source, f"it is not whole: there is no {model.missing}", code="not_found")
    return model


def is_glob(selection: str) -> bool:
    """Whether it has wildcards."""
    return any(character in selection for character in "*?[")


def _matches(model: ModelFiles, pattern: str) -> bool:
    return any(
        fnmatchcase(file.path, pattern) or fnmatchcase(PurePosixPath(file.path).name, pattern) for file in model.files
    )


def _is_of(model: ModelFiles, name: str) -> bool:
    match = _PART.fullmatch(model.path)
    stem = match["stem"] if match else model.path[: -len(".gguf")]
    return (
        not model.is_projector
        and re.search(rf"(?:^|[-._/]){re.escape(name)}(?:$|[-._/])", stem, re.IGNORECASE) is not None
    )


def _usual(source: str, models: list[ModelFiles]) -> ModelFiles:
    models = [model for model in models if not model.is_projector and model.missing is None]
    if len(models) == 1:
        return models[0]
    for name in _PREFERRED:
        found = [model for model in models if quantization(model.path) == name]
        if len(found) == 1:
            return found[0]
    if not models:
        raise DownloadError(source, "there is no GGUF file in it", code="not_found")
    raise DownloadError(source, f"say which of its {len(models)} models: {_listed(models)}", code="not_found")


def _nothing(source: str, selection: str, models: list[ModelFiles]) -> DownloadError:
    there = f"there is: {_listed(models)}" if models else "there is no GGUF file in it"
    return DownloadError(source, f"nothing fits {shown(selection)}; {there}", code="not_found")


def _listed(models: list[ModelFiles]) -> str:
    names = [str(model) for model in models[:_N_SHOWN]]
    if len(models) > _N_SHOWN:
        names.append(f"and {len(models) - _N_SHOWN} more")
    return ", ".join(names)

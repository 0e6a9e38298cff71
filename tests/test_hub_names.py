"""What models are called, and what the environment says about the hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_server import forget_environment

from llama_async import OptionError
from llama_async._hub import RepoSource, Settings, UrlSource, parse_source


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_environment(monkeypatch)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


ENDPOINT = "https://huggingface.co"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("owner/repo", RepoSource("owner/repo")),
        ("owner/repo:Q4_K_M", RepoSource("owner/repo", selection="Q4_K_M")),
        ("owner/repo@v1.0:*Q4*", RepoSource("owner/repo", "v1.0", "*Q4*")),
        ("owner/repo@refs/pr/3", RepoSource("owner/repo", "refs/pr/3")),
        ("hf://owner/repo", RepoSource("owner/repo")),
        ("hf://models/owner/repo/dir/file.gguf", RepoSource("owner/repo", selection="dir/file.gguf")),
        (f"{ENDPOINT}/owner/repo", RepoSource("owner/repo")),
        (f"{ENDPOINT}/owner/repo/tree/main", RepoSource("owner/repo")),
        (f"{ENDPOINT}/owner/repo/blob/dev/a%20b.gguf?x=1", RepoSource("owner/repo", "dev", "a b.gguf")),
        ("https://example.com/a.gguf", UrlSource("https://example.com/a.gguf")),
        ("https://example.com/a.gguf#sha256=" + "A" * 64, UrlSource("https://example.com/a.gguf", "a" * 64)),
    ],
)
def test_names(text: str, wanted: object) -> None:
    assert parse_source(text, endpoint=ENDPOINT) == wanted


@pytest.mark.parametrize("text", ["", "hf://", "hf://owner", "ftp://example.com/a.gguf", "https://", "hf://a/../b"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(OptionError):
        parse_source(text, endpoint=ENDPOINT)


def test_an_existing_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(parse_source("owner/repo", endpoint=ENDPOINT), RepoSource)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner/repo").write_text("GGUF")
    assert str(parse_source("owner/repo", endpoint=ENDPOINT)) == "owner/repo"
    assert not isinstance(parse_source("owner/repo", endpoint=ENDPOINT), RepoSource)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"HF_HOME": "/h"}, "/h/hub"),
        ({"HF_HOME": "/h", "HF_HUB_CACHE": "/c"}, "/c"),
        ({"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/d"}, "/d"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
    ],
)
def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wanted: str) -> None:
    for name in ("HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment().cache == Path(wanted).expanduser()


def test_the_token_that_logging_in_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment().token is None
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text("hf_file\n")
    assert Settings.from_environment().token == "hf_file"
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert Settings.from_environment().token is None
    assert Settings.from_environment(token="hf_given").token == "hf_given"

"""A file of any web server: verified if its hash is known, continued if the server can tell that it is the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer, forget_environment, sha256

from llama_async import DownloadError
from llama_async._hub import Settings, UrlSource, cached_urls, pull_url, transfer

MODEL = b"GGUF" + random.Random(7).randbytes(300_000)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    forget_environment(monkeypatch)
    monkeypatch.setenv("LLAMA_ASYNC_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(transfer, "_FIRST_WAIT_S", 0.0)
    server = HubServer()
    server.start()
    yield server
    server.stop()


def test_a_url_with_its_hash(server: HubServer) -> None:
    server.plain["/models/small.gguf"] = MODEL
    source = UrlSource(f"{server.cdn}/models/small.gguf", sha256(MODEL))
    pulled = pull_url(source, Settings.from_environment(), report=lambda *_: None)
    assert pulled.path.name == "small.gguf"
    assert pulled.path.read_bytes() == MODEL
    assert not pull_url(source, Settings.from_environment(), report=lambda *_: None).is_new
    (cached,) = cached_urls()
    assert (cached.path, cached.sha256, cached.url) == (pulled.path, sha256(MODEL), source.url)


def test_a_url_with_another_hash(server: HubServer) -> None:
    server.plain["/small.gguf"] = MODEL
    source = UrlSource(f"{server.cdn}/small.gguf", "0" * 64)
    with pytest.raises(DownloadError, match="its hash is not 000") as error:
        pull_url(source, Settings.from_environment(), report=lambda *_: None)
    assert error.value.code == "corrupt"
    assert list(cached_urls()) == []


@pytest.mark.parametrize("changes", [False, True])
def test_a_url_is_continued_while_its_etag_stays(server: HubServer, changes: bool) -> None:
    server.plain["/small.gguf"] = MODEL
    server.etags["/small.gguf"] = '"one"'
    server.cuts["/small.gguf"] = [100_000, 0, 0, 0, 0, 0]
    source = UrlSource(f"{server.cdn}/small.gguf")
    with pytest.raises(DownloadError, match="the next attempt goes on"):
        pull_url(source, Settings.from_environment(), report=lambda *_: None)
    server.cuts.clear()
    if changes:
        server.plain["/small.gguf"] = MODEL[::-1]
        server.etags["/small.gguf"] = '"two"'
    server.requests.clear()
    pulled = pull_url(source, Settings.from_environment(), report=lambda *_: None)
    assert pulled.path.read_bytes() == server.plain["/small.gguf"]
    (headers,) = [headers for _, _, headers in server.requests]
    assert headers["if-range"] == '"one"'


def test_within_one_attempt_a_url_is_continued_by_its_etag(server: HubServer) -> None:
    server.plain["/small.gguf"] = MODEL
    server.etags["/small.gguf"] = '"one"'
    server.cuts["/small.gguf"] = [100_000]
    source = UrlSource(f"{server.cdn}/small.gguf")
    assert pull_url(source, Settings.from_environment(), report=lambda *_: None).path.read_bytes() == MODEL
    assert [headers.get("if-range") for _, _, headers in server.requests] == [None, '"one"']


def test_a_url_without_etag_begins_anew(server: HubServer) -> None:
    server.plain["/small.gguf"] = MODEL
    server.cuts["/small.gguf"] = [100_000, 0, 0, 0, 0, 0]
    source = UrlSource(f"{server.cdn}/small.gguf")
    with pytest.raises(DownloadError, match="no answer from"):
        pull_url(source, Settings.from_environment(), report=lambda *_: None)
    assert {headers.get("range") for _, _, headers in server.requests} == {None}
    server.cuts.clear()
    server.plain["/small.gguf"] = MODEL[::-1]
    assert pull_url(source, Settings.from_environment(), report=lambda *_: None).path.read_bytes() == MODEL[::-1]


def test_what_may_be_secret_in_a_url_is_neither_shown_nor_kept(server: HubServer) -> None:
    source = UrlSource(f"http://user:word@127.0.0.1:{server.port}/nothing.gguf?key=secret")
    with pytest.raises(DownloadError, match=r"HTTP 404") as error:
        pull_url(source, Settings.from_environment(), report=lambda *_: None)
    assert "word" not in str(error.value)
    assert "secret" not in str(error.value)

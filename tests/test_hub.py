"""Models come whole or not at all, whatever the network, the server, the disk and other processes do."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from hub_server import COMMIT, HubServer, Repository, forget_environment, git_oid, sha256

from llama_async import DownloadError
from llama_async._hub import Hub, Pulled, Settings, transfer
from llama_async._hub.cache import HubCache
from llama_async._hub.source import RepoSource

REPO = "owner/small-GGUF"
BYTES = random.Random(7).randbytes
MODEL = b"GGUF" + BYTES(300_000)
Q4, Q8 = "small-Q4_K_M.gguf", "small-Q8_0.gguf"
PARTS = [f"big/small-BF16-0000{index}-of-00003.gguf" for index in (1, 2, 3)]


@pytest.fixture
def server() -> Iterator[HubServer]:
    server = HubServer()
    files = {Q4: MODEL, Q8: b"GGUF" + BYTES(1000), "README.md": b"read me", "mmproj-small-Q8_0.gguf": b"GGUFeye"}
    files |= {path: b"GGUF" + BYTES(500) for path in PARTS}
    server.repositories[REPO] = Repository(files)
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_environment(monkeypatch)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("LLAMA_ASYNC_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.setattr(transfer, "_FIRST_WAIT_S", 0.0)


@pytest.fixture
def hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    return Hub(Settings.from_environment())


def pull(hub: Hub, selection: str | None = None, revision: str = "main") -> Pulled:
    (pulled,) = hub.pull(RepoSource(REPO, revision, selection), only_one=True)
    return pulled


def content_path(path: str) -> str:
    return f"/content/{REPO}/{path}"


def everything_below(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file()]


# -- what comes


def test_a_model_comes_whole_and_where_other_tools_look(hub: Hub) -> None:
    pulled = pull(hub, "Q4_K_M")
    repository = hub.settings.cache / "models--owner--small-GGUF"
    assert pulled.path == repository / "snapshots" / COMMIT / Q4
    assert pulled.path.read_bytes() == MODEL
    assert pulled.path.resolve() == repository / "blobs" / sha256(MODEL)
    assert pulled.path.readlink() == Path("../../blobs") / sha256(MODEL)
    assert (repository / "refs/main").read_text() == COMMIT
    assert pulled.is_new
    assert pulled.size_bytes == len(MODEL)


def test_what_is_there_is_not_fetched_again(hub: Hub, server: HubServer) -> None:
    pull(hub, Q4)
    server.requests.clear()
    assert not pull(hub, Q4).is_new
    assert server.ranges() == []


def test_a_model_of_another_tool_is_found(hub: Hub, server: HubServer) -> None:
    """As huggingface_hub leaves it."""
    cache = HubCache(hub.settings.cache)
    blob = cache.blob(REPO, sha256(MODEL))
    blob.parent.mkdir(parents=True)
    blob.write_bytes(MODEL)
    assert pull(hub, Q4).path.read_bytes() == MODEL
    assert server.ranges() == []


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (None, Q4),
        ("q8_0", Q8),
        ("*Q8_0.gguf", Q8),
        (Q8, Q8),
        ("README.md", "README.md"),
        ("mmproj*", "mmproj-small-Q8_0.gguf"),
    ],
)
def test_selections(hub: Hub, selection: str | None, wanted: str) -> None:
    assert pull(hub, selection).path.name == wanted


@pytest.mark.parametrize("selection", ["BF16", "*BF16*", PARTS[1], "big/*00002*"])
def test_a_split_model_comes_whole(hub: Hub, selection: str) -> None:
    pulled = pull(hub, selection)
    assert [path.name for path in pulled.paths] == [Path(path).name for path in PARTS]
    assert pulled.path.name.endswith("-00001-of-00003.gguf")


def test_a_split_model_that_lacks_a_part_is_refused(hub: Hub, server: HubServer) -> None:
    del server.repositories[REPO].files[PARTS[1]]
    with pytest.raises(DownloadError, match="there is no big/small-BF16-00002-of-00003") as error:
        pull(hub, "BF16")
    assert error.value.code == "not_found"
    # It is in nobody else's way.
    assert pull(hub, "Q8_0").path.name == Q8
    assert pull(hub).path.name == Q4


def test_some_parts_of_a_model_in_the_cache_are_no_model(hub: Hub) -> None:
    pull(hub, "BF16")
    pull(hub, "Q8_0")
    hub.cache.pointer(REPO, COMMIT, PARTS[2]).unlink()
    assert [cached.model.path for cached in hub.cache.models()] == [Q8]
    assert hub.find(RepoSource(REPO, selection="BF16")) is None
    found = hub.find(RepoSource(REPO, selection="Q8_0"))
    assert found is not None
    assert found.path.name == Q8


def test_a_glob_takes_all_that_fits_where_several_are_wanted(hub: Hub) -> None:
    pulled = hub.pull(RepoSource(REPO, selection="*.gguf"), only_one=False)
    assert len(pulled) == 4
    assert sum(len(one.paths) for one in pulled) == 6


def test_what_nothing_fits_says_what_there_is(hub: Hub) -> None:
    with pytest.raises(DownloadError, match=r"nothing fits 'Q2_K'; there is: big/.* \(and 2 more parts\).*Q4_K_M"):
        pull(hub, "Q2_K")


def test_a_glob_for_several_is_refused_where_one_is_wanted(hub: Hub) -> None:
    with pytest.raises(DownloadError, match=r"fits 3 models: big/.*small-Q4_K_M.gguf, small-Q8_0.gguf"):
        pull(hub, "*.gguf")


def test_small_files_are_verified_by_gits_own_hash(hub: Hub, server: HubServer) -> None:
    assert pull(hub, "README.md").path.resolve().name == git_oid(b"read me")
    server.repositories[REPO].false_contents["README.md"] = b"eat me!"
    server.repositories[REPO].commit = "b" * 40
    with pytest.raises(DownloadError, match="its hash is not"):
        pull(hub, "README.md")


def test_a_mirror_without_hashes_in_its_listing_is_asked_for_them(hub: Hub, server: HubServer) -> None:
    server.repositories[REPO].has_hashes = False
    assert pull(hub, Q4).path.resolve().name == sha256(MODEL)
    assert [method for method, _, _ in server.requests].count("HEAD") == 1


@pytest.mark.parametrize("has_hashes", [True, False])
def test_a_repository_that_was_renamed(hub: Hub, server: HubServer, has_hashes: bool) -> None:
    server.renamed["owner/old"] = REPO
    server.repositories[REPO].has_hashes = has_hashes
    (pulled,) = hub.pull(RepoSource("owner/old", selection=Q4), only_one=True)
    assert pulled.path.read_bytes() == MODEL


# -- what cuts it


def test_a_cut_is_continued_by_range(hub: Hub, server: HubServer) -> None:
    server.cuts[content_path(Q4)] = [100_000, 50_000]
    assert pull(hub, Q4).path.read_bytes() == MODEL
    first, second, third = server.ranges()
    assert first is None
    assert second is not None
    assert third is not None
    assert 0 < int(second[6:-1]) <= 100_000 < int(third[6:-1]) <= 150_000


def test_a_later_attempt_goes_on_where_the_first_ended(hub: Hub, server: HubServer) -> None:
    server.cuts[content_path(Q4)] = [200_000, 0, 0, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"ended after \d+ bytes .*the next attempt goes on") as error:
        pull(hub, Q4)
    assert error.value.code == "network"
    cache = HubCache(hub.settings.cache)
    assert not cache.pointer(REPO, COMMIT, Q4).exists()
    assert not cache.blob(REPO, sha256(MODEL)).exists()
    (part,) = cache.partial_files()
    assert part.read_bytes() == MODEL[: part.stat().st_size]
    server.cuts.clear()
    server.requests.clear()
    size = part.stat().st_size
    assert pull(hub, Q4).path.read_bytes() == MODEL
    assert server.ranges() == [f"bytes={size}-"]
    assert cache.partial_files() == []


def test_a_server_without_ranges_sends_all_again(hub: Hub, server: HubServer) -> None:
    server.knows_ranges = False
    server.cuts[content_path(Q4)] = [100_000]
    assert pull(hub, Q4).path.read_bytes() == MODEL


def test_a_part_of_something_else_is_thrown_away(hub: Hub, server: HubServer) -> None:
    blob = hub.cache.blob(REPO, sha256(MODEL))
    blob.parent.mkdir(parents=True)
    blob.with_name(f"{blob.name}.incomplete").write_bytes(BYTES(5000))
    assert pull(hub, Q4).path.read_bytes() == MODEL
    assert server.ranges() == ["bytes=5000-", None]


def test_a_part_that_is_whole_already_is_only_checked(hub: Hub, server: HubServer) -> None:
    blob = hub.cache.blob(REPO, sha256(MODEL))
    blob.parent.mkdir(parents=True)
    blob.with_name(f"{blob.name}.incomplete").write_bytes(MODEL)
    assert pull(hub, Q4).path.read_bytes() == MODEL
    assert server.ranges() == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(hub: Hub, server: HubServer, status: int) -> None:
    server.faults[content_path(Q4)] = [status, status]
    assert pull(hub, Q4).path.read_bytes() == MODEL


def test_what_the_contents_server_refuses_is_not_called_gated(hub: Hub, server: HubServer) -> None:
    server.faults[content_path(Q4)] = [403]
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 answered with HTTP 403") as error:
        pull(hub, Q4)
    assert error.value.code == "server"


def test_a_server_that_stays_busy_is_an_error(hub: Hub, server: HubServer) -> None:
    server.faults[content_path(Q4)] = [503] * 9
    with pytest.raises(DownloadError, match="answered with HTTP 503") as error:
        pull(hub, Q4)
    assert error.value.code == "server"


def test_cancelling_ends_it_and_keeps_what_came(server: HubServer, hub: Hub) -> None:
    server.holds_at = 100_000
    stopped = threading.Event()

    def stop() -> None:
        server.is_held.wait()
        stopped.set()
        server.go_on.set()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(DownloadError, match="cancelled") as error:
        pull(Hub(hub.settings, is_cancelled=stopped.is_set), Q4)
    thread.join()
    assert error.value.code == "cancelled"
    assert len(hub.cache.partial_files()) == 1


# -- what is wrong


def test_wrong_bytes_never_get_their_name(hub: Hub, server: HubServer) -> None:
    server.repositories[REPO].false_contents[Q4] = b"X" + MODEL[1:]
    with pytest.raises(DownloadError, match=f"its hash is not {sha256(b'X' + MODEL[1:])}") as error:
        pull(hub, Q4)
    assert error.value.code == "corrupt"
    assert len(server.ranges()) == 1
    assert everything_below(hub.settings.cache / "models--owner--small-GGUF") == []


def test_a_wrong_size_is_seen_before_the_bytes_come(hub: Hub, server: HubServer) -> None:
    server.repositories[REPO].false_contents[Q4] = MODEL + b"more"
    with pytest.raises(DownloadError, match=f"the server has {len(MODEL)} bytes, where {len(MODEL) + 4}"):
        pull(hub, Q4)


@pytest.mark.parametrize("path", ["../../escaped.gguf", "/etc/x.gguf", "a//b.gguf", "C:x.gguf", "\x1b[2J.gguf", "a\\b"])
def test_paths_that_lead_elsewhere_are_refused(hub: Hub, server: HubServer, path: str) -> None:
    server.repositories[REPO].files[path] = b"GGUF"
    with pytest.raises(DownloadError, match="leads elsewhere"):
        pull(hub, Q4)


@pytest.mark.parametrize("digest", ["../../../escaped", "A" * 64, "/etc/passwd"])
def test_hashes_that_are_none_are_refused(
    hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    monkeypatch.setattr("hub_server.sha256", lambda content: digest)
    with pytest.raises(DownloadError, match="does not answer as a hub does"):
        pull(hub, Q4)


def test_unknown_repository(hub: Hub) -> None:
    with pytest.raises(DownloadError, match="no such repository, or it is private: set HF_TOKEN") as error:
        hub.pull(RepoSource("owner/nothing"), only_one=True)
    assert error.value.code == "unauthorized"


def test_unknown_revision(hub: Hub) -> None:
    with pytest.raises(DownloadError, match="has no revision 'dev'") as error:
        pull(hub, Q4, revision="dev")
    assert error.value.code == "not_found"


def test_a_gated_repository_says_where_its_conditions_are(server: HubServer, hub: Hub) -> None:
    server.repositories[REPO].is_gated = True
    with pytest.raises(DownloadError, match=f"accept its conditions at {server.endpoint}/{REPO} .*HF_TOKEN") as error:
        pull(hub, Q4)
    assert error.value.code == "forbidden"


def test_the_token_goes_to_the_hub_and_not_beyond(server: HubServer, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.repositories[REPO].is_gated = True
    server.token = "hf_right"
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    pull(Hub(Settings.from_environment()), Q4)
    asked = [(path, headers.get("authorization")) for _, path, headers in server.requests]
    assert {authorization for path, authorization in asked if path.startswith("/content/")} == {None}
    assert {authorization for path, authorization in asked if not path.startswith("/content/")} == {"Bearer hf_right"}


def test_a_wrong_token_is_named(server: HubServer, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(DownloadError, match="does not know your token") as error:
        pull(Hub(Settings.from_environment()), Q4)
    assert error.value.code == "unauthorized"
    assert "hf_wrong" not in str(error.value)


# -- the disk


def test_no_space_is_seen_before_the_bytes_come(hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DownloadError, match=r"no space left at .*: it needs 300004 bytes more, 1000 are free") as error:
        pull(hub, Q4)
    assert error.value.code == "no_space"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_is_an_error(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    part = hub.cache.blob(REPO, sha256(MODEL)).with_name(f"{sha256(MODEL)}.incomplete")
    part.parent.mkdir(parents=True)
    real_open = os.open

    def open_full(path: Any, *arguments: Any, **options: Any) -> int:
        return real_open("/dev/full" if Path(path) == part else path, *arguments, **options)

    part.touch()
    monkeypatch.setattr(os, "open", open_full)
    with monkeypatch.context() as reading:
        # Reading it gives zeros without end.
        reading.setattr(transfer, "_BLOCK_BYTES", 0)
        with pytest.raises(DownloadError, match="No space left on device; what came is kept") as error:
            pull(hub, Q4)
    assert error.value.code == "no_space"
    assert isinstance(error.value.__cause__, OSError)
    assert error.value.__cause__.errno == errno.ENOSPC


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written(hub: Hub) -> None:
    hub.settings.cache.mkdir(parents=True)
    hub.settings.cache.chmod(0o500)
    with pytest.raises(DownloadError, match="cannot be used") as error:
        pull(hub, Q4)
    assert error.value.code == "cache"


def test_a_cache_that_may_only_be_read_is_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pull(hub, Q4).path

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(HubCache, "note_revision", refuse)
    assert pull(hub, Q4).path == path


def test_a_cache_that_is_a_file(hub: Hub) -> None:
    hub.settings.cache.parent.mkdir(parents=True)
    hub.settings.cache.write_text("not a directory")
    with pytest.raises(DownloadError, match="cannot be used") as error:
        pull(hub, Q4)
    assert error.value.code == "cache"


# -- no network


def test_no_network_and_nothing_cached(hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DownloadError, match=r"no answer from 127.0.0.1 .*nothing of it is in the cache") as error:
        pull(Hub(Settings.from_environment()), Q4)
    assert error.value.code == "network"


@pytest.mark.parametrize("selection", [None, "Q4_K_M", "*Q4*"])
def test_without_network_the_cache_will_do(hub: Hub, monkeypatch: pytest.MonkeyPatch, selection: str | None) -> None:
    path = pull(hub, Q4).path
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    pulled = pull(Hub(Settings.from_environment()), selection)
    assert pulled.path == path
    assert pulled.note is not None
    assert "no answer" in pulled.note


def test_offline_asks_nobody(hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pull(hub, Q4)
    server.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = Hub(Settings.from_environment())
    assert not pull(offline, "Q4_K_M").is_new
    with pytest.raises(DownloadError, match=r"HF_HUB_OFFLINE.*in the cache nothing fits 'Q8_0'.*Q4_K_M") as error:
        pull(offline, "Q8_0")
    assert error.value.code == "offline"
    assert server.requests == []


# -- several at once


_PULL = """
import sys
from llama_async._hub import Hub, Settings
from llama_async._hub.source import RepoSource
(pulled,) = Hub(Settings.from_environment()).pull(RepoSource(sys.argv[1], selection=sys.argv[2]), only_one=True)
print(int(pulled.is_new), pulled.path)
"""


def test_two_processes_fetch_a_model_once(hub: Hub, server: HubServer, tmp_path: Path) -> None:
    server.holds_at = 100_000
    command = [sys.executable, "-c", _PULL, REPO, Q4]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) for _ in range(2)]
    server.is_held.wait(60)
    server.go_on.set()
    answers = [child.communicate(timeout=60)[0].split() for child in children]
    assert sorted(answer[0] for answer in answers) == ["0", "1"]
    assert {Path(answer[1]).read_bytes() for answer in answers} == {MODEL}
    assert server.ranges() == [None]


# -- answers that no server of ours gives


@respx.mock
@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (httpx.Response(403), "forbidden", "gated"),
        (httpx.Response(200, text="<html>"), "server", "does not answer as a hub"),
        (httpx.Response(200, json={"sha": "x"}), "server", "does not answer as a hub"),
        (httpx.Response(200, json={"sha": "../x", "siblings": []}), "server", "names no commit"),
        (httpx.Response(404), "not_found", "no such repository"),
        (httpx.Response(429, headers={"retry-after": "60"}), "server", "wait for 60 seconds"),
        (httpx.Response(500), "server", "HTTP 500"),
        (httpx.ReadTimeout("timed out"), "network", "timed out"),
        (httpx.ConnectError("Name or service not known"), "network", "is there a network"),
    ],
)
def test_answers_of_the_hub(answer: Any, code: str, text: str) -> None:
    respx.get("https://huggingface.co/api/models/owner/small-GGUF/revision/main").mock(
        **({"side_effect": answer} if isinstance(answer, Exception) else {"return_value": answer})
    )
    with pytest.raises(DownloadError, match=text) as error:
        pull(Hub(Settings.from_environment()), Q4)
    assert error.value.code == code


@respx.mock
def test_a_silent_listing_is_asked_for_again() -> None:
    route = respx.get("https://huggingface.co/api/models/owner/small-GGUF/revision/main")
    route.side_effect = [httpx.ReadTimeout("slow"), httpx.Response(404)]
    with pytest.raises(DownloadError):
        pull(Hub(Settings.from_environment()), Q4)
    assert route.call_count == 2


# -- what is in the cache


def test_the_cache_lists_and_removes_models(hub: Hub) -> None:
    pull(hub, Q4)
    pull(hub, Q8)
    pull(hub, "BF16")
    cache = hub.cache
    assert [cached.name for cached in cache.models()] == [f"{REPO}:{path}" for path in (PARTS[0], Q4, Q8)]
    first, *others = cache.models()
    assert cache.remove(first) == first.model.size_bytes
    assert [cached.model.path for cached in cache.models()] == [Q4, Q8]
    for cached in others:
        cache.remove(cached)
    assert not cache.repo(REPO).exists()


def test_a_content_that_another_revision_has_stays(hub: Hub, server: HubServer) -> None:
    pull(hub, Q4)
    server.repositories[REPO].commit = "b" * 40
    assert not pull(hub, Q4).is_new
    old, new = sorted(hub.cache.models(), key=lambda cached: cached.commit)
    assert hub.cache.remove(old) == 0
    assert new.path.read_bytes() == MODEL
    assert hub.cache.commit_of(REPO, "main") == "b" * 40

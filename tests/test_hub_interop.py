"""The cache is huggingface_hub's: what either of us has fetched, the other finds whole, and lists without complaint."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import COMMIT, HubServer, Repository, forget_environment
from support import run_child

from llama_async._hub import Hub, Settings
from llama_async._hub.source import RepoSource

REPO = "owner/small-GGUF"
FILE = "deep/small-Q4_K_M.gguf"
MODEL = b"GGUF" + random.Random(3).randbytes(50_000)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    forget_environment(monkeypatch)
    server = HubServer()
    server.repositories[REPO] = Repository({FILE: MODEL, "README.md": b"read me"})
    server.start()
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    yield server
    server.stop()


def theirs(code: str) -> Any:
    """Run code with huggingface_hub, which looks at the environment once."""
    done = run_child(f"import json, huggingface_hub as hub\n{code}", REPO, FILE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_they_find_what_we_fetched(server: HubServer) -> None:
    (ours,) = Hub(Settings.from_environment()).pull(RepoSource(REPO, selection=FILE), only_one=True)
    code = "import sys; print(json.dumps(hub.hf_hub_download(*sys.argv[1:], local_files_only=True)))"
    assert theirs(code) == str(ours.path)
    # With the network they look whether it is the newest, and fetch nothing.
    server.requests.clear()
    assert theirs(code.replace(", local_files_only=True", "")) == str(ours.path)
    assert server.ranges() == []


def test_they_list_what_we_fetched(server: HubServer) -> None:
    hub = Hub(Settings.from_environment())
    hub.pull(RepoSource(REPO, selection="*"), only_one=False)
    code = """
info = hub.scan_cache_dir()
(repo,) = info.repos
(revision,) = repo.revisions
print(json.dumps([len(info.warnings), repo.repo_id, revision.commit_hash, sorted(revision.refs), repo.size_on_disk]))
"""
    assert theirs(code) == [0, REPO, COMMIT, ["main"], len(MODEL) + len(b"read me")]
    (cached,) = hub.cache.models()
    hub.cache.remove(cached)
    assert theirs(code)[4] == len(b"read me")


def test_we_find_what_they_fetched(server: HubServer) -> None:
    path = theirs("import sys; print(json.dumps(hub.hf_hub_download(*sys.argv[1:])))")
    server.requests.clear()
    hub = Hub(Settings.from_environment())
    (ours,) = hub.pull(RepoSource(REPO, selection="Q4_K_M"), only_one=True)
    assert (str(ours.path), ours.is_new) == (path, False)
    assert server.ranges() == []
    assert [cached.name for cached in hub.cache.models()] == [f"{REPO}:{FILE}"]

"""`llama-async pull` and `llama-async models`: what they print, and how they exit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from gguf import GGUFWriter
from hub_server import COMMIT, HubServer, Repository, forget_environment, sha256

from llama_async.__main__ import main, without_extra

REPO = "owner/small-GGUF"
FILE = "small-Q4_1.gguf"


@pytest.fixture
def server(model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    forget_environment(monkeypatch)
    server = HubServer()
    # A head is enough to be looked at.
    files = {FILE: model_path.read_bytes()[:4_000_000], "small-Q8_0.gguf": b"GGUF" + bytes(2000)}
    server.repositories[REPO] = Repository(files)
    server.start()
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("LLAMA_ASYNC_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.delenv("LLAMA_ASYNC_MODEL", raising=False)
    yield server
    server.stop()


@pytest.fixture
def call(server: HubServer, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command; returns its status, its output and its messages."""

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_pull_prints_the_path_and_the_list_shows_the_model(call: Any, tmp_path: Path) -> None:
    status, output, messages = call("pull", f"{REPO}:q4_1")
    path = tmp_path / "hf/hub/models--owner--small-GGUF/snapshots" / COMMIT / FILE
    assert (status, output) == (0, f"{path}\n")
    assert "fetched and verified" in messages
    assert "is in the cache" in call("pull", REPO, "*Q4*")[2]
    assert call("pull", REPO, FILE, "--quiet") == (0, f"{path}\n", "")
    status, output, _ = call("models", "list")
    assert status == 0
    header, line = output.splitlines()
    assert header.split() == ["MODEL", "SIZE", "QUANT", "CAME"]
    assert line.split()[:4] == [f"{REPO}:{FILE}", "4.0", "MB", "Q4_1"]
    (facts,) = json.loads(call("models", "list", "--json")[1])
    assert (facts["name"], facts["path"], facts["revision"]) == (f"{REPO}:{FILE}", str(path), COMMIT)
    assert call("models", "path", f"{REPO}:Q4_1") == (0, f"{path}\n", "")


def test_no_escape_sequences_where_there_is_no_terminal(call: Any) -> None:
    for command in (["pull", REPO, "*.gguf"], ["models", "list"], ["models", "show", f"{REPO}:Q4_1"], ["--help"]):
        status, output, messages = call(*command)
        assert status == 0
        assert "\x1b" not in output + messages


def test_pull_as_json(call: Any) -> None:
    status, output, _ = call("pull", REPO, "*.gguf", "--json")
    assert status == 0
    assert [(one["name"], one["fetched"]) for one in json.loads(output)] == [
        (f"{REPO}:{FILE}", True),
        (f"{REPO}:small-Q8_0.gguf", True),
    ]


def test_pull_of_a_url(call: Any, server: HubServer) -> None:
    server.plain["/tiny.gguf"] = b"GGUF tiny"
    url = f"{server.cdn}/tiny.gguf"
    assert call("pull", url, "--sha256", "0" * 64)[0] == 1
    status, output, _ = call("pull", url, "--sha256", sha256(b"GGUF tiny"))
    assert status == 0
    assert Path(output.strip()).read_bytes() == b"GGUF tiny"
    assert call("models", "path", url)[1] == output
    assert call("models", "remove", "-y", url) == (0, "", "freed 9 B\n")
    assert call("models", "path", url)[0] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["pull", f"{REPO}:Q2_K"], 1, "there is: small-Q4_1.gguf, small-Q8_0.gguf"),
        (["pull", "owner/nothing"], 1, "no such repository"),
        (["pull", "./here.gguf"], 2, "a path is not fetched"),
        (["pull", "https://example.com/a.gguf", "--sha256", "1"], 2, "64 hexadecimal digits"),
        (["pull", "https://example.com/a.gguf", "a.gguf"], 2, "only a repository"),
        (["pull"], 2, "Missing argument"),
        (["pull", REPO, "--nonsense"], 2, "No such option"),
        (["nonsense"], 2, "No such command"),
        (["models", "show", "owner/nothing"], 1, "not in the cache"),
        (["models", "remove", "owner/nothing"], 1, "not in the cache"),
    ],
)
def test_statuses(call: Any, arguments: list[str], status: int, text: str) -> None:
    found, output, messages = call(*arguments)
    assert (found, output) == (status, "")
    assert text in messages


def test_show(call: Any) -> None:
    call("pull", REPO, FILE)
    output = call("models", "show", f"{REPO}:{FILE}")[1]
    assert "134,515,008" in output
    assert "llama" in output
    assert "tokenizer.ggml.tokens" not in output
    assert "tokenizer.ggml.tokens" in call("models", "show", REPO, "--all")[1]
    assert json.loads(call("models", "show", REPO, "--json")[1])["metadata"]["llama.context_length"] == 8192
    assert "{% for message in messages %}" in call("models", "show", REPO, "--template")[1]


def test_a_file_does_not_steer_the_terminal(call: Any, tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "hostile.gguf", "none")
    writer.add_name("\x1b[2J\x1b]0;title\x07[red]name")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    status, output, _ = call("models", "show", str(tmp_path / "hostile.gguf"), "--all")
    assert status == 0
    assert "\x1b" not in output
    assert "[2J]0;title[red]name" in output


def test_remove_asks_where_somebody_is(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    call("pull", REPO, "*.gguf")
    status, _, messages = call("models", "remove", REPO)
    assert status == 1
    assert "--yes removes without" in messages
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "n\n", raising=False)
    assert call("models", "remove", REPO)[0] == 1
    assert len(json.loads(call("models", "list", "--json")[1])) == 2
    assert call("models", "remove", REPO, "--yes") == (0, "", "freed 4.0 MB\n")
    assert call("models", "list")[1] == ""


def test_an_interrupt_keeps_what_came(server: HubServer, tmp_path: Path) -> None:
    server.holds_at = 1_000_000
    child = subprocess.Popen(
        [sys.executable, "-m", "llama_async", "pull", REPO, FILE], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert server.is_held.wait(60)
    # The part is on the disk when the file has it; the server has only sent it.
    parts = tmp_path / "hf/hub/models--owner--small-GGUF/blobs"
    while not any(path.stat().st_size == 1_000_000 for path in parts.glob("*.incomplete")):
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    _, messages = child.communicate(timeout=60)
    assert (child.returncode, "Traceback" in messages) == (130, False)
    server.go_on.set()
    server.holds_at = None
    assert main(["pull", REPO, FILE, "--quiet"]) == 0
    assert server.ranges() == [None, "bytes=1000000-"]


def test_prune(call: Any, tmp_path: Path) -> None:
    part = tmp_path / "hf/hub/models--owner--small-GGUF/blobs/x.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(1500))
    assert call("models", "prune") == (0, "", "freed 1.5 kB\n")
    assert not part.exists()


def test_version_and_completion(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("--version")[1].startswith("llama-async ")
    monkeypatch.setenv("_LLAMA_ASYNC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "llama-async mo")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert call()[1].split() == ["models"]
    monkeypatch.delenv("_LLAMA_ASYNC_COMPLETE")
    call("pull", f"{REPO}:q4_1")
    monkeypatch.setenv("_LLAMA_ASYNC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "llama-async chat own")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert call()[1].split() == [f"{REPO}:{FILE}"]


def test_without_the_extra(capsys: pytest.CaptureFixture[str]) -> None:
    assert without_extra(["chat"]) == 1
    assert "pip install 'llama-async[cli]'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as done:
        without_extra(["nonsense"])
    assert done.value.code == 2


def test_help_imports_neither_the_engine_nor_http(tmp_path: Path) -> None:
    code = (
        "import sys; from llama_async.__main__ import main; main(['--help']); "
        "heavy = {'asyncio', 'httpx', 'anyio', 'pydantic', 'llama_async._native', 'prompt_toolkit', 'rich.markdown'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert child.stdout.splitlines()[-1] == "[]"


def test_a_bar_on_a_terminal(server: HubServer, tmp_path: Path) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "llama_async", "pull", f"{REPO}:Q4_1"],
        cwd=str(tmp_path),
        env={**os.environ, "TERM": "xterm-256color"},
        encoding="utf-8",
        timeout=60,
        dimensions=(30, 120),
    )
    child.expect(r"4\.0/4\.0 MB")
    child.expect("fetched and verified")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0

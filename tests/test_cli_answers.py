"""`llama-async run`, `chat` and `bench` on the real model: pipes, terminals, interrupts, exit statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pexpect
import pytest

from llama_async.__main__ import main
from llama_async.cli.answering import prompt_text
from llama_async.cli.terminal import visible

COMMAND = [sys.executable, "-m", "llama_async"]
# One thread, as for every client of the tests.
GREEDY = ["--threads", "1", "-t", "0", "--ctx", "512"]


@pytest.fixture
def environment(model_path: Path, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    return kept | {
        "LLAMA_ASYNC_MODEL": str(model_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "TERM": "xterm-256color",
        "PROMPT_TOOLKIT_NO_CPR": "1",  # nothing answers here when it asks where the cursor is
        "PYTHONIOENCODING": "utf-8",
    }


@pytest.fixture
def call(environment: dict[str, str], tmp_path: Path) -> Any:
    def call(*arguments: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if typed is None else {"input": typed}
        return subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            env=environment,
            **source,
        )

    return call


@pytest.fixture
def terminal(environment: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """Starts a command on a terminal."""
    started: list[pexpect.spawn] = []

    def start(*arguments: str, **extra: str) -> pexpect.spawn:
        child = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *arguments],
            cwd=str(tmp_path),
            env=environment | extra,
            encoding="utf-8",
            timeout=120,
            dimensions=(30, 100),
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def status_of(child: pexpect.spawn) -> int:
    child.expect(pexpect.EOF)
    child.wait()
    return int(child.exitstatus if child.exitstatus is not None else -child.signalstatus)


# -- run


def test_run_writes_the_answer_and_nothing_else(call: Any) -> None:
    done = call("run", "What is the capital of France?", "-s", "You are a helpful assistant.", "-n", "24", *GREEDY)
    assert done.returncode == 0
    assert "Paris" in done.stdout
    assert done.stdout.endswith("\n")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


def test_run_reads_standard_input(call: Any) -> None:
    alone = call("run", *GREEDY, "-n", "3", "--stats", typed="What is the capital of France?")
    below = call("run", "What is the capital", *GREEDY, "-n", "3", "--stats", typed="of France?\n")
    assert alone.returncode == below.returncode == 0
    # The same words, but for a line's end between them.
    counts = [int(done.stderr.split("context ")[1].split()[0]) for done in (alone, below)]
    assert 0 <= counts[1] - counts[0] <= 2


def test_run_with_a_schema(call: Any, tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "large": {"type": "boolean"}},
        "required": ["city", "large"],
        "additionalProperties": False,
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    done = call("run", "Describe Paris.", "--schema", "schema.json", *GREEDY)
    assert done.returncode == 0, done.stderr
    jsonschema.validate(json.loads(done.stdout), schema)


def test_run_fails_where_json_is_cut(call: Any) -> None:
    done = call("run", "Describe Paris.", "--json", "-n", "3", *GREEDY)
    assert done.returncode == 1
    assert "the answer is not complete" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["run"], 2, "prompt is None, but must be given"),
        (["run", "-"], 2, "prompt is '-', but must be given"),
        (["run", "x", "--schema", "none.json"], 2, "a file with a JSON schema"),
        (["run", "x", "--json", "--schema", "none.json"], 2, "one of --json and --schema"),
        (["run", "x", "-m", "./none.gguf"], 1, "there is no such file"),
        (["run", "x", "-m", "what?"], 1, "there is no such file"),
        (["run", "x", "--temperature", "-1"], 1, "temperature"),
        (["run", "x", "--ctx", "-1"], 2, "n_ctx"),
        (["chat", "--nonsense"], 2, "No such option"),
        (["bench", "--tokens", "1"], 2, "--tokens"),
    ],
)
def test_statuses(
    arguments: list[str],
    status: int,
    text: str,
    model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LLAMA_ASYNC_MODEL", str(model_path))
    # As of a daemon: what pytest puts there must not be read.
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert main(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert text in captured.err


def test_run_that_is_interrupted(environment: dict[str, str], tmp_path: Path) -> None:
    command = [*COMMAND, "run", "Count from one to a thousand, in words.", "--threads", "1"]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=tmp_path, env=environment
    )
    assert child.stdout is not None
    child.stdout.read(1)
    child.send_signal(signal.SIGINT)
    _, messages = child.communicate(timeout=120)
    assert child.returncode == 130
    assert b"Traceback" not in messages


def test_run_whose_reader_leaves(environment: dict[str, str], tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m llama_async run 'Count to a thousand, in words.' --threads 1 | head -c 5"
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        env=environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert len(done.stdout) == 5
    assert done.stderr == ""


def test_a_terminal_is_not_steered_by_an_answer() -> None:
    assert visible("a\x1b[2J\tb\n\x07\x9b31m\x7fé🙂") == "a[2J\tb\n31mé🙂"


def test_a_daemons_standard_input_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert prompt_text("question") == "question"


# -- chat


def test_chat_from_a_pipe(call: Any, tmp_path: Path) -> None:
    lines = [
        "/system You are a helpful assistant.",
        "What is the capital of France?",
        "/save talk.json",
        "/save talk.md",
        "/nonsense",
    ]
    lines += ["/help", "/retry", "/reset", "/retry", '"""one', 'two"""', "/save two.json", "/save no/where.json"]
    done = call("chat", "-n", "12", *GREEDY, typed="\n".join(lines) + "\n")
    assert done.returncode == 0
    assert done.stdout.count("Paris") == 2
    talk = json.loads((tmp_path / "talk.json").read_text())["messages"]
    assert [turn["role"] for turn in talk] == ["system", "user", "assistant"]
    assert "Paris" in talk[2]["content"]
    assert (
        (tmp_path / "talk.md").read_text().startswith("## system\n\nYou are a helpful assistant.\n\n## user\n\nWhat is")
    )
    assert json.loads((tmp_path / "two.json").read_text())["messages"][1]["content"] == "one\ntwo"
    for text in ("there is no command /nonsense", "nothing was asked yet", "cannot be written"):
        assert text in done.stderr
    # A terminal would break longer lines in the midst of words.
    assert "forget the conversation" in done.stdout
    assert max(map(len, done.stdout.partition("/help ")[2].partition("needs a blank")[0].splitlines())) < 80
    assert "\x1b" not in done.stdout + done.stderr


def test_chat_at_a_terminal(terminal: Any, tmp_path: Path) -> None:
    child = terminal("chat", "-n", "16", "-s", "You are a helpful assistant.", *GREEDY)
    child.expect("/help says what can be typed")
    child.expect(">")
    child.send("What is the capital of France?\r")
    child.expect("Paris")
    child.expect(r"\d+ tokens · .*tok/s · first after .* s · context \d+")
    child.send("/help\r")
    child.expect("forget the conversation")
    child.send("one\n")
    child.send("two\r")
    child.expect("tok/s")
    child.send("/save talk.json\r")
    child.expect("5 messages saved")
    child.expect(">")  # between two prompts the terminal takes the end itself
    child.sendeof()
    assert status_of(child) == 0
    talk = json.loads((tmp_path / "talk.json").read_text())["messages"]
    assert [turn["content"] for turn in talk if turn["role"] == "user"][1] == "one\ntwo"
    history = tmp_path / "state/llama-async/history"
    assert "+What is the capital of France?" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


def test_an_interrupt_ends_the_answer_and_not_the_program(terminal: Any, tmp_path: Path) -> None:
    child = terminal("chat", "--plain", "--no-history", "--threads", "1", "--ctx", "2048")
    child.expect(">")
    child.send("Count from one to a thousand, in words.\r")
    # The prompt is left, and then the answer comes.
    child.expect("2004l")
    child.expect("[a-zA-Z]{2}")
    child.sendintr()
    child.expect("interrupted")
    child.send("typed and thrown away")
    child.expect("away")
    child.sendintr()
    child.send("/save talk.json\r")
    child.expect("2 messages saved")
    child.send("/exit\r")
    assert status_of(child) == 0
    assert json.loads((tmp_path / "talk.json").read_text())["messages"][1]["content"]
    assert not (tmp_path / "state").exists()


def test_no_color(terminal: Any) -> None:
    colours = terminal("run", "x", "-m", "./none.gguf")
    assert status_of(colours) == 1
    assert "\x1b[1;31m" in colours.before
    plain = terminal("run", "x", "-m", "./none.gguf", NO_COLOR="1")
    assert status_of(plain) == 1
    assert "error: cannot load ./none.gguf" in plain.before.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "31m" not in plain.before


def test_a_conversation_that_no_longer_fits(call: Any) -> None:
    done = call("chat", "--ctx", "64", "-n", "2", "--threads", "1", typed="word " * 200 + "\nhello\n")
    assert done.returncode == 0
    assert "/reset makes room" in done.stderr
    assert done.stdout.strip()


# -- bench


def test_bench(call: Any) -> None:
    done = call("bench", "--json", "--parallel", "2", "--prompt-tokens", "32", "--tokens", "4", "--rounds", "1",
                "--threads", "1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert [one["n_streams"] for one in results] == [1, 2]
    for one in results:
        assert (one["n_prompt"], one["n_generated"]) == (32, 4)
        assert one["prefill"] > 0
        assert one["decode"] > 0
        assert one["first_token_s"] > 0

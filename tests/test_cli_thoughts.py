"""Thoughts are shown apart from the answer. The default model has none, so chunks stand in."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from llama_async.cli import answering, chatting
from llama_async.cli.session import EngineFlags, Pace
from llama_async.types.chat import ChatCompletionChunk


def chunk(finish_reason: str | None = None, **delta: str) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    fields = {"id": "1", "created": 0, "model": "m", "object": "chat.completion.chunk", "choices": [choice]}
    return ChatCompletionChunk.model_validate(fields)


ANSWER = [chunk(reasoning_content="Let me "), chunk(reasoning_content="see."), chunk(content="# Yes\n"), chunk("stop")]


class Stream(list[ChatCompletionChunk]):
    def close(self) -> None:
        pass


class Client:
    """Answers each request with the same chunks."""

    def __init__(self) -> None:
        self.chat = self.completions = self
        self.conversations: list[Any] = []

    def create(self, messages: list[Any], **_: Any) -> Stream:
        self.conversations.append(list(messages))
        return Stream(ANSWER)


@pytest.mark.parametrize("are_shown", [False, True])
def test_run_keeps_thoughts_out_of_the_answer(are_shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert answering._write(ANSWER, Pace(), show_thoughts=are_shown) == "stop"
    captured = capsys.readouterr()
    assert captured.out == "# Yes\n"
    assert captured.err == ("Let me see.\n" if are_shown else "")


def test_chat_does_not_send_thoughts_back(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    client: Any = Client()
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\n"))
    chatting.Chat(client, parameters={}, system=None, markdown=True, history=None).run()
    assert capsys.readouterr().out == "# Yes\n\n" * 2
    assert client.conversations[1] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "# Yes\n"},
        {"role": "user", "content": "two"},
    ]


def test_flags_that_are_not_given_are_not_passed_on() -> None:
    assert EngineFlags().options() == {}
    assert EngineFlags(tune=False).options() == {"tune": False}
    assert EngineFlags(n_ctx=5, chat_template="chatml").options() == {"n_ctx": 5, "chat_template": "chatml"}

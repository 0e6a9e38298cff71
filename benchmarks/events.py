"""What the events of a stream cost per chunk, beside openai's own, which get the same chunks.

    python benchmarks/events.py [--chunks 250,1000,4000] [--rounds 3]

Ours and openai's take turns; printed are the medians in microseconds a chunk and their ratio. "class" is a response
format whose JSON nobody looks at on its way, "read" one whose `parsed` is read at every chunk.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import openai.lib.streaming.chat
import openai.types.chat
import pydantic

import llama_async.lib.streaming.chat
import llama_async.types.chat


class Items(pydantic.BaseModel):
    items: list[str]


def chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    choice = {"delta": delta, "index": 0, "finish_reason": None, "logprobs": None, **more}
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "system_fingerprint": "f",
    }
    return {**head, "choices": [choice]}


def as_json(n_chunks: int) -> list[str]:
    text = json.dumps({"items": ["a word or two"] * (n_chunks * 4 // 17)})
    return [text[start : start + 4] for start in range(0, len(text), 4)]


def texts(n_chunks: int) -> list[dict[str, Any]]:
    return [chunk({"content": " word"}) for _ in range(n_chunks)]


def logprobs(n_chunks: int) -> list[dict[str, Any]]:
    entry = {"token": " word", "bytes": list(b" word"), "logprob": -0.5, "top_logprobs": []}
    return [chunk({"content": " word"}, logprobs={"content": [entry], "refusal": None}) for _ in range(n_chunks)]


def contents(n_chunks: int) -> list[dict[str, Any]]:
    return [chunk({"content": piece}) for piece in as_json(n_chunks)]


def arguments(n_chunks: int) -> list[dict[str, Any]]:
    function = {"name": "tool", "arguments": ""}
    first = chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
    pieces = [{"index": 0, "function": {"arguments": piece}} for piece in as_json(n_chunks)]
    return [first, *(chunk({"tool_calls": [piece]}) for piece in pieces)]


TOOL = {"type": "function", "function": {"name": "tool", "parameters": {}, "strict": True}}
CASES: dict[str, tuple[Callable[[int], list[dict[str, Any]]], dict[str, Any], bool]] = {
    "text": (texts, {}, False),
    "logprobs": (logprobs, {}, False),
    "class": (contents, {"response_format": Items}, False),
    "class, read": (contents, {"response_format": Items}, True),
    "strict tool": (arguments, {"input_tools": [TOOL]}, False),
}
PACKAGES: dict[str, tuple[Any, Any]] = {
    "ours": (
        llama_async.lib.streaming.chat.ChatCompletionStreamState,
        llama_async.types.chat.ChatCompletionChunk,
    ),
    "openai": (openai.lib.streaming.chat.ChatCompletionStreamState, openai.types.chat.ChatCompletionChunk),
}


def measure(package: str, data: list[dict[str, Any]], options: dict[str, Any], reads: bool) -> float:
    make_state, chunk_class = PACKAGES[package]
    chunks = [chunk_class.construct(**item) for item in [chunk({"role": "assistant", "content": ""}), *data]]
    state = make_state(**options)
    start = time.perf_counter()
    for item in chunks:
        for event in state.handle_chunk(item):
            if reads and event.type == "content.delta":
                _ = event.parsed
    return (time.perf_counter() - start) / len(chunks) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", default="250,1000,4000")
    parser.add_argument("--rounds", type=int, default=3)
    arguments_ = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, pydantic {pydantic.VERSION}")
    print(f"{'case':12} {'chunks':>7} {'ours us':>9} {'openai us':>10} {'ratio':>6}")
    for name, (make, options, reads) in CASES.items():
        for n_chunks in map(int, arguments_.chunks.split(",")):
            data = make(n_chunks)
            times: dict[str, list[float]] = {package: [] for package in PACKAGES}
            for _ in range(arguments_.rounds):
                for package in PACKAGES:
                    times[package].append(measure(package, data, options, reads))
            ours, theirs = (statistics.median(times[package]) for package in PACKAGES)
            print(f"{name:12} {n_chunks:7} {ours:9.1f} {theirs:10.1f} {theirs / ours:6.1f}")


if __name__ == "__main__":
    main()

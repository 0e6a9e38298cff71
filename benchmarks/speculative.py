"""What guessing tokens gains where text repeats, and costs where it does not.

    python benchmarks/speculative.py [--rounds 5] [--tokens 192] [--streams 1,4] [--only edit,repeat]
                                     [--draft-model FILE | --draft-layers N] [--json FILE]

One client answers everything, greedily; each request says whether it is guessed for, and requests with and without take
turns (without, with, without, ...), so that a machine that slows down slows both. Cases:

    edit        an answer that is known but for a word in every fifth line: the rest of it is the `prediction`
    repeat      a program that the prompt has twice, a third time: n-grams of the prompt
    story       free text: next to nothing can be guessed
    noise       free text with a prediction that is wrong in every token
    draft       free text by a second model (`--draft-model`, or the first N of the model's own layers: as dear as a
                smaller model, and nearly always wrong)

Printed are tokens a second without and with guesses, their ratio within a round, and how many of the guessed tokens
were right. The bars: `story`, `noise` and `draft` at least 0.95. What could be had at most:
`benchmarks/step_prices.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.cut_model import write_first_layers
from harness.figures import describe, print_facts, spread

from llama_async import AsyncLlama
from llama_async._default_model import default_model_path

_CODE = '''
class Account:
    """Money of one owner."""

    def __init__(self, owner, balance=0):
        self.owner = owner
        self.balance = balance
        self.history = []

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError("amount must be positive")
        self.balance = self.balance + amount
        self.history.append(("deposit", amount))

    def withdraw(self, amount):
        if amount > self.balance:
            raise ValueError("not enough money")
        self.balance = self.balance - amount
        self.history.append(("withdraw", amount))
'''
# Completed as text: a small model that is asked to repeat something says something else.
_TWICE = f"{_CODE}\n\n{_CODE}\n\n"
_PROGRAM = "Write a Python class for a bank account with methods to deposit and withdraw money, with docstrings."
_STORY = "Write a long story about a lighthouse keeper who finds a letter in a bottle."


@dataclass
class Case:
    """One kind of text, and what is asked for it where guesses are on."""

    name: str
    prompt: str
    chat: bool
    parameters: dict[str, Any]
    bar: float | None = None
    without: list[float] = field(default_factory=list)
    guessed: list[float] = field(default_factory=list)
    n_drafted: int = 0
    n_accepted: int = 0

    @property
    def ratios(self) -> list[float]:
        return [fast / slow for fast, slow in zip(self.guessed, self.without, strict=True)]


def edited(text: str) -> str:
    """Return the text with another word in every fifth line."""
    lines = text.splitlines()
    for index in range(2, len(lines), 5):
        first, *rest = lines[index].rsplit(" ", 1)
        lines[index] = f"{first} otherwise" if rest else lines[index]
    return "\n".join(lines)


def cases(answer: str, draft: bool) -> list[Case]:
    """Return what is measured. `answer` is what is answered to the first case's prompt."""
    ngram = {"extra_body": {"speculative": "ngram"}}
    predicted = {"type": "content", "content": edited(answer)}
    wrong = {"type": "content", "content": "0123456789 " * 100}
    all_cases = [
        Case("edit", _PROGRAM, True, {"prediction": predicted}),
        Case("repeat", _TWICE, False, ngram),
        Case("story", _STORY, True, ngram, bar=0.95),
        Case("noise", _STORY, True, {**ngram, "prediction": wrong}, bar=0.95),
    ]
    if draft:
        all_cases.append(Case("draft", _STORY, True, {"extra_body": {"speculative": "draft"}}, bar=0.95))
    return all_cases


async def answer_to(client: AsyncLlama, prompt: str, n_tokens: int) -> str:
    """Return a greedy answer to which nothing was guessed."""
    completion = await client.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": prompt}],
        temperature=0,
        max_tokens=n_tokens,
        extra_body={"ignore_eos": True, "speculative": False},
    )
    return completion.choices[0].message.content or ""


async def rate(client: AsyncLlama, case: Case, n_tokens: int, n_streams: int, guess: bool) -> float:
    """Return the tokens a second of all streams, from the first token of the last to begin on."""
    parameters = dict(case.parameters) if guess else {"extra_body": {"speculative": False}}
    extra_body = {"ignore_eos": True, **parameters.pop("extra_body", {})}
    common: dict[str, Any] = {
        "model": "default",
        "temperature": 0,
        "max_tokens": n_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "extra_body": extra_body,
        **parameters,
    }

    async def one() -> tuple[float, float, int]:
        if case.chat:
            messages = [{"role": "user", "content": case.prompt}]
            stream: Any = await client.chat.completions.create(messages=messages, **common)
        else:
            stream = await client.completions.create(prompt=case.prompt, **common)
        first, n = 0.0, 0
        async for chunk in stream:
            first = first or time.perf_counter()
            n = chunk.usage.completion_tokens if chunk.usage else n
        return first, time.perf_counter(), n

    runs = await asyncio.gather(*(one() for _ in range(n_streams)))
    start = min(first for first, _, _ in runs)
    return sum(n for _, _, n in runs) / (max(end for _, end, _ in runs) - start)


async def measure(arguments: argparse.Namespace, n_streams: int) -> list[Case]:
    options = {"draft_model": arguments.draft_model} if arguments.draft_model else {}
    async with AsyncLlama(arguments.model, n_ctx=2048, n_parallel=n_streams, **options) as client:
        answer = await answer_to(client, _PROGRAM, arguments.tokens)
        measured = cases(answer, bool(arguments.draft_model))
        if arguments.only:
            measured = [case for case in measured if case.name in arguments.only.split(",")]
        for case in measured:
            for guess in (False, True):  # the prompt is cached from here on, and the pace of guessing is known
                await rate(client, case, arguments.tokens, n_streams, guess)
        for _ in range(arguments.rounds):
            for case in measured:
                case.without.append(await rate(client, case, arguments.tokens, n_streams, guess=False))
                before = client.stats()
                case.guessed.append(await rate(client, case, arguments.tokens, n_streams, guess=True))
                after = client.stats()
                assert before is not None
                assert after is not None
                case.n_drafted += after.n_drafted - before.n_drafted
                case.n_accepted += after.n_accepted - before.n_accepted
    return measured


def show(n_streams: int, measured: list[Case]) -> None:
    print(f"\n{n_streams} stream(s), tokens a second")
    print(f"{'case':8} {'without':26} {'guessed for':26} {'ratio':24} {'right of guessed':>18}  bar")
    for case in measured:
        ratio = statistics.median(case.ratios)
        bar = "" if case.bar is None else f"{case.bar} {'met' if ratio >= case.bar else 'MISSED'}"
        print(
            f"{case.name:8} {spread(case.without):26} {spread(case.guessed):26} {spread(case.ratios, 2):24}"
            f" {case.n_accepted:8} of {case.n_drafted:6}  {bar}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--streams", default="1,4")
    parser.add_argument("--only", help="names of cases, with commas")
    parser.add_argument("--model", type=Path, default=None)
    draft = parser.add_mutually_exclusive_group()
    draft.add_argument("--draft-model", type=Path, default=None)
    draft.add_argument("--draft-layers", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    arguments.model = arguments.model or default_model_path()
    print_facts(describe(arguments.model))
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        if arguments.draft_layers:
            arguments.draft_model = Path(directory) / "draft.gguf"
            write_first_layers(arguments.model, arguments.draft_layers, arguments.draft_model)
        for n_streams in (int(n) for n in arguments.streams.split(",")):
            measured = asyncio.run(measure(arguments, n_streams))
            show(n_streams, measured)
            results[str(n_streams)] = [asdict(case) for case in measured]
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

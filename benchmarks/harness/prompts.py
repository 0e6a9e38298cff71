"""The texts that every engine is asked.

Made of common words, so that most tokenizers have one token for each. Nothing here is random: the same call gives the
same text on every machine.
"""

from __future__ import annotations

import random
from typing import Any

Messages = list[dict[str, Any]]

WORDS = """
time people way year day thing man world life hand part child eye woman place work week case point company number group
problem fact house area book business home water room mother money story month right study night job word side head
service friend father power hour game line end member law car city name president team minute idea body information
back parent face others level office door health person art war history party result change morning reason research
girl guy moment air teacher force education
""".split()
TOPICS = [
    "the lighthouse on the northern cape", "a bakery that opens at midnight", "the old railway through the valley",
    "a garden on the roof of a hospital", "the first map of the southern sea", "a clock that runs backwards",
    "the winter market in the harbour", "a school for young musicians", "the bridge between two villages",
    "a library that lends tools", "the invention of the bicycle", "a ship that carried letters",
    "the observatory in the desert", "a theatre without a stage", "the last wooden windmill",
    "a river that changed its course",
]  # fmt: skip
QUESTIONS = [
    "Where does the story begin?", "Who is the first to arrive?", "What do they find there?",
    "Why does it matter to them?",
    "What goes wrong in the night?", "Who helps them in the end?", "What do they take home?", "How is it told today?",
]  # fmt: skip


def passage(seed: int, n_tokens: int) -> str:
    """Return sentences of about so many tokens."""
    choose = random.Random(seed).choice
    words: list[str] = []
    while len(words) + len(words) // 12 < n_tokens:
        word = choose(WORDS)
        words.append(f"{word}." if len(words) % 12 == 11 else word)
    return " ".join(words)


def own(index: int) -> Messages:
    """Return a request of about sixty tokens with its template, unlike the others from its first words on."""
    topic = TOPICS[index % len(TOPICS)]
    return [
        {
            "role": "user",
            "content": f"{topic.capitalize()}, number {index}: tell me at length how it came to be, who works there.",
        }
    ]


def sharing(index: int, n_shared: int) -> Messages:
    """Return a request whose system prompt of about `n_shared` tokens is everybody's."""
    return [
        {"role": "system", "content": passage(1, n_shared)},
        {"role": "user", "content": f"In the case of {TOPICS[index % len(TOPICS)]}: what would you do?"},
    ]


def turn(index: int) -> str:
    """Return what the user says in one turn of a conversation, about a hundred tokens."""
    question = QUESTIONS[index % len(QUESTIONS)]
    return f"{question} Tell it at length, and let some of these words come up: {passage(100 + index, 75)}"


def long(variant: int, n_tokens: int) -> Messages:
    """Return a long prompt; variants have nothing in common but the template."""
    return [{"role": "user", "content": passage(200 + variant, n_tokens)}]


def short(index: int) -> Messages:
    """Return a short question of its own."""
    return [{"role": "user", "content": f"{WORDS[index % len(WORDS)].capitalize()}: name one thing that goes with it."}]


def warm_up() -> Messages:
    """Return a request that shares nothing with the others but the template."""
    return [{"role": "user", "content": passage(300, 40)}]

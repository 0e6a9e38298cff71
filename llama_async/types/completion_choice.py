"""One alternative of a text completion."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["CompletionChoice", "Logprobs"]


class Logprobs(BaseModel):
    """Log probabilities in parallel lists, one entry a token."""

    text_offset: list[int] | None = None
    """Where each token starts in the text, in characters."""

    token_logprobs: list[float] | None = None
    tokens: list[str] | None = None
    top_logprobs: list[dict[str, float]] | None = None


class CompletionChoice(BaseModel):
    """One alternative text."""

    finish_reason: Literal["stop", "length", "content_filter"]
    index: int
    logprobs: Logprobs | None = None
    text: str

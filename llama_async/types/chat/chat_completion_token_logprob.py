"""The log probability of one token and of its alternatives."""

from llama_async._models import BaseModel

__all__ = ["ChatCompletionTokenLogprob", "TopLogprob"]


class TopLogprob(BaseModel):
    """An alternative token and its log probability."""

    token: str
    bytes: list[int] | None = None
    """The UTF-8 bytes of the token; `None` where it has none."""

    logprob: float
    """Natural logarithm; -9999.0 stands for very unlikely."""


class ChatCompletionTokenLogprob(BaseModel):
    """A token and its log probability."""

    token: str
    bytes: list[int] | None = None
    """The UTF-8 bytes of the token; `None` where it has none."""

    logprob: float
    """Natural logarithm; -9999.0 stands for very unlikely."""

    top_logprobs: list[TopLogprob]

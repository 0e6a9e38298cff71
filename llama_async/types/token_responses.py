"""What `client.tokenize` and its kin return over HTTP; llama-server's replies have the same shape."""

from llama_async._models import BaseModel

__all__ = ["ApplyTemplateResponse", "DetokenizeResponse", "TokenizeResponse"]


class TokenizeResponse(BaseModel):
    """The tokens of a text, or of each of several."""

    tokens: list[int] | list[list[int]]


class DetokenizeResponse(BaseModel):
    """The text of tokens, or of each of several lists of them."""

    content: str | list[str]


class ApplyTemplateResponse(BaseModel):
    """The prompt that a chat template made of a conversation."""

    prompt: str

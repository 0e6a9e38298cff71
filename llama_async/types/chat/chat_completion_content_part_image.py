"""An image inside a stored message."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ChatCompletionContentPartImage", "ImageURL", "PromptCacheBreakpoint"]


class ImageURL(BaseModel):
    """Where the image is: a URL, or the data itself as a `data:` URL."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class PromptCacheBreakpoint(BaseModel):
    """Marks the end of a reusable prefix of the prompt."""

    mode: Literal["explicit"]
    ttl: Literal["30m", "12h"] | None = None


class ChatCompletionContentPartImage(BaseModel):
    """An image of a stored message."""

    image_url: ImageURL
    type: Literal["image_url"]
    prompt_cache_breakpoint: PromptCacheBreakpoint | None = None

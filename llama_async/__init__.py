"""The OpenAI client's interface over a local GGUF model, in the application's own process.

`AsyncLlama` stands in for `openai.AsyncOpenAI`; exceptions, sentinels and result types have openai's names. Names are
imported when first used, so that a program which only may need a model does not pay for it at start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy_exports
from ._version import __version__ as __version__

if TYPE_CHECKING:
    from . import types as types
    from ._abi import ModelStats as ModelStats
    from ._blocking._base import Stream as Stream
    from ._blocking.client import Client as Client
    from ._blocking.client import Llama as Llama
    from ._client import AsyncClient as AsyncClient
    from ._client import AsyncLlama as AsyncLlama
    from ._errors import APIConnectionError as APIConnectionError
    from ._errors import APIError as APIError
    from ._errors import APIResponseValidationError as APIResponseValidationError
    from ._errors import APIStatusError as APIStatusError
    from ._errors import APITimeoutError as APITimeoutError
    from ._errors import AuthenticationError as AuthenticationError
    from ._errors import BadRequestError as BadRequestError
    from ._errors import ClientClosedError as ClientClosedError
    from ._errors import ConflictError as ConflictError
    from ._errors import ContentFilterFinishReasonError as ContentFilterFinishReasonError
    from ._errors import DownloadError as DownloadError
    from ._errors import EventLoopError as EventLoopError
    from ._errors import ForkedError as ForkedError
    from ._errors import InternalServerError as InternalServerError
    from ._errors import LengthFinishReasonError as LengthFinishReasonError
    from ._errors import ModelLoadError as ModelLoadError
    from ._errors import NotFoundError as NotFoundError
    from ._errors import OpenAIError as OpenAIError
    from ._errors import OptionError as OptionError
    from ._errors import PermissionDeniedError as PermissionDeniedError
    from ._errors import RateLimitError as RateLimitError
    from ._errors import StoreError as StoreError
    from ._errors import StreamClosedError as StreamClosedError
    from ._errors import UnprocessableEntityError as UnprocessableEntityError
    from ._models import BaseModel as BaseModel
    from ._stream import AsyncStream as AsyncStream
    from ._types import NOT_GIVEN as NOT_GIVEN
    from ._types import NoneType as NoneType
    from ._types import NotGiven as NotGiven
    from ._types import Omit as Omit
    from ._types import Timeout as Timeout
    from ._types import not_given as not_given
    from ._types import omit as omit
    from .lib import pydantic_function_tool as pydantic_function_tool

_EXPORTS = {
    "_abi": ("ModelStats",),
    "_blocking._base": ("Stream",),
    "_blocking.client": ("Client", "Llama"),
    "_client": ("AsyncClient", "AsyncLlama"),
    "_errors": (
        "APIConnectionError",
        "APIError",
        "APIResponseValidationError",
        "APIStatusError",
        "APITimeoutError",
        "AuthenticationError",
        "BadRequestError",
        "ClientClosedError",
        "ConflictError",
        "ContentFilterFinishReasonError",
        "DownloadError",
        "EventLoopError",
        "ForkedError",
        "InternalServerError",
        "LengthFinishReasonError",
        "ModelLoadError",
        "NotFoundError",
        "OpenAIError",
        "OptionError",
        "PermissionDeniedError",
        "RateLimitError",
        "StoreError",
        "StreamClosedError",
        "UnprocessableEntityError",
    ),
    "_models": ("BaseModel",),
    "_stream": ("AsyncStream",),
    "_types": ("NOT_GIVEN", "NoneType", "NotGiven", "Omit", "Timeout", "not_given", "omit"),
    # As in openai, importable and not in __all__.
    "lib": ("pydantic_function_tool",),
}

__all__ = [
    "NOT_GIVEN",
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncLlama",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "BaseModel",
    "Client",
    "ClientClosedError",
    "ConflictError",
    "ContentFilterFinishReasonError",
    "DownloadError",
    "EventLoopError",
    "ForkedError",
    "InternalServerError",
    "LengthFinishReasonError",
    "Llama",
    "ModelLoadError",
    "ModelStats",
    "NoneType",
    "NotFoundError",
    "NotGiven",
    "Omit",
    "OpenAIError",
    "OptionError",
    "PermissionDeniedError",
    "RateLimitError",
    "StoreError",
    "Stream",
    "StreamClosedError",
    "Timeout",
    "UnprocessableEntityError",
    "__version__",
    "not_given",
    "omit",
    "types",
]

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)

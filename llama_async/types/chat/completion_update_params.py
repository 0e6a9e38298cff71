"""What can be changed in a stored chat completion."""

from __future__ import annotations

from typing_extensions import Required, TypedDict

from llama_async.types.shared_params.metadata import Metadata

__all__ = ["CompletionUpdateParams"]


class CompletionUpdateParams(TypedDict, total=False):
    """New metadata of a stored chat completion."""

    metadata: Required[Metadata | None]

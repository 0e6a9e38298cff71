"""The query for stored chat completions."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from llama_async.types.shared_params.metadata import Metadata

__all__ = ["CompletionListParams"]


class CompletionListParams(TypedDict, total=False):
    """Which stored chat completions to list."""

    after: str
    """Id of the last completion of the page before."""

    limit: int
    metadata: Metadata | None
    model: str
    order: Literal["asc", "desc"]

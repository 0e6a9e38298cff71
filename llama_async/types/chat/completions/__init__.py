"""Types of the stored chat completion endpoints.

Names are imported from their modules when first used, which keeps the import of the package short.
"""

from typing import TYPE_CHECKING

from llama_async._lazy import lazy_exports

if TYPE_CHECKING:
    from .message_list_params import MessageListParams

__all__ = ["MessageListParams"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "message_list_params": ("MessageListParams",),
    },
)

"""Model names of the responses endpoint, and any string."""

from llama_async.types.shared.responses_model import ResponsesModel

__all__ = ["ResponsesModel"]

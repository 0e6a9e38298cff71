"""Model names of the responses endpoint, and any string."""

from ..shared.responses_model import ResponsesModel

__all__ = ["ResponsesModel"]

"""Key and value strings attached to an object."""

from llama_async.types.shared.metadata import Metadata

__all__ = ["Metadata"]

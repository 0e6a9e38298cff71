"""Key and value strings attached to an object."""

from ..shared.metadata import Metadata

__all__ = ["Metadata"]

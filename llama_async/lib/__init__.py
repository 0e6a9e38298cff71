"""What stands on the endpoints rather than being one: schemas from classes, parsed answers, events of a stream.

Module paths and public names are those of `openai.lib`, for code that imports from there.
"""

from ._parsing import ResponseFormatT, type_to_response_format_param
from ._tools import pydantic_function_tool

__all__ = ["ResponseFormatT", "pydantic_function_tool", "type_to_response_format_param"]

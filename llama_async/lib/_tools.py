"""A class -> a function tool whose arguments are its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ._pydantic import to_strict_json_schema

if TYPE_CHECKING:
    import pydantic

    from llama_async.types.chat import ChatCompletionFunctionToolParam
    from llama_async.types.shared_params import FunctionDefinition

__all__ = ["PydanticFunctionTool", "pydantic_function_tool"]


class PydanticFunctionTool(dict[str, Any]):
    """The definition of a function that remembers the class it was made from.

    A dictionary like any other definition, so that nothing but the parsing of arguments need know of it.

    Args:
        defn: The definition.
        model: The class.
    """

    model: type[pydantic.BaseModel]

    def __init__(self, defn: FunctionDefinition, model: type[pydantic.BaseModel]) -> None:
        super().__init__(defn)
        self.model = model

    def cast(self) -> FunctionDefinition:
        """Return this object under the type that tools are declared with."""
        return cast("FunctionDefinition", self)


def pydantic_function_tool(
    model: type[pydantic.BaseModel], *, name: str | None = None, description: str | None = None
) -> ChatCompletionFunctionToolParam:
    """Return a strict function tool; `parse` and `stream` turn the arguments of its calls into instances of the class.

    Args:
        model: The class whose fields are the arguments.
        name: The function's name; by default the class's.
        description: What it does; by default the docstring of the class itself.
    """
    definition: FunctionDefinition = {
        "name": name or model.__name__,
        "strict": True,
        "parameters": to_strict_json_schema(model),
    }
    # Not inspect.getdoc, which would fall back to what pydantic says about its base class.
    description = model.__doc__ if description is None else description
    if description is not None:
        definition["description"] = description
    return {"type": "function", "function": PydanticFunctionTool(definition, model).cast()}

"""`tools`, `tool_choice` and `parallel_tool_calls` -> what a chat segment says of them, or a BadRequestError."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any

import pydantic

from ._errors import bad_request, shown
from ._functions import has_functions, parameters_by_tools
from ._grammar.known import LENIENT, STRICT, is_compiled, is_large
from ._parameters import boolean

if TYPE_CHECKING:
    from ._grammar.arguments import Arguments

__all__ = ["are_ready", "is_named", "tool_options"]

_MAX_TOOLS = 128
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CHOICES = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class _Function:
    """A function that may be called.

    Attributes:
        name: Its name.
        told: What the model is told of it.
        arguments: What its arguments obey.
        strict: Whether they must, or the request is refused.
    """

    name: str
    told: Mapping[str, Any]
    arguments: Arguments
    strict: bool

    def options(self) -> dict[str, object]:
        """Return what the native side gets beside what the model is told (docs/abi.md)."""
        said = self.arguments
        by_name = None
        if said.by_name is not None:
            by_name = {
                name: {"rule": one.rule, "free": one.free, "texts": one.texts} for name, one in said.by_name.items()
            }
        return {"rule": said.rule, "by_name": by_name, "outline": said.outline, "strict": self.strict}


def tool_options(given: Mapping[str, Any]) -> dict[str, object]:
    """Return the keys of a chat segment that speak of tools; none if there are no tools.

    Args:
        given: Parameters of a chat completion.

    Raises:
        BadRequestError: A tool is malformed, its strict schema cannot be enforced, or the choice names one that is not
            there.
    """
    from ._grammar.compiler import rules_of  # not paid for by programs without tools

    of_functions = has_functions(given)
    given = parameters_by_tools(given)
    functions = _functions(given.get("tools", ()), "functions[{}]" if of_functions else "tools[{}].function")
    place = "function_call" if of_functions else "tool_choice"
    choice, allowed = _choice(given.get("tool_choice", "auto"), [function.name for function in functions], place)
    parallel = given.get("parallel_tool_calls")
    if parallel is not None:
        parallel = boolean(given, "parallel_tool_calls")
    if not functions:
        if choice == "required":
            raise bad_request("tool_choice", "tool_choice asks for a call, but tools is empty")
        return {}
    kept = [function for function in functions if allowed is None or function.name in allowed]
    options: dict[str, object] = {
        "tools": [{"type": "function", "function": function.told} for function in kept],
        "tool_choice": choice,
    }
    if choice != "none":
        options["tool_rules"] = rules_of(
            (function.arguments for function in kept), "functions" if of_functions else "tools"
        )
        options["tool_arguments"] = [function.options() for function in kept]
    if is_named(given):
        parallel = False  # the one call that was asked for
    if parallel is not None:
        options["parallel_tool_calls"] = parallel
    return options


def are_ready(tools: object) -> bool:
    """Whether `tool_options` takes no time for these tools, or functions: their schemas are known, and not large."""
    if isinstance(tools, (str, bytes, Mapping, NoneType)) or not isinstance(tools, Iterable):
        return True
    if not isinstance(tools, (list, tuple)) or is_large(tools):
        return False
    for tool in tools:
        function = tool.get("function", tool) if isinstance(tool, Mapping) else tool
        if not isinstance(function, Mapping):
            return False
        parameters = _schema_of(function)
        if isinstance(parameters, Mapping) and not is_compiled(
            parameters, STRICT if function.get("strict") else LENIENT
        ):
            return False
    return True


def is_named(given: Mapping[str, Any]) -> bool:
    """Return whether one function has to be called, by its name."""
    choice = _plain(given.get("tool_choice"))
    return isinstance(given.get("function_call"), Mapping) or (
        isinstance(choice, Mapping) and choice.get("type") == "function"
    )


def _plain(value: object) -> object:
    """Return a model of pydantic, such as openai's types, as what it stands for."""
    return value.model_dump(exclude_unset=True) if isinstance(value, pydantic.BaseModel) else value


def _functions(tools: object, places: str) -> list[_Function]:
    if isinstance(tools, (str, bytes, Mapping, pydantic.BaseModel)) or not isinstance(tools, Iterable):
        raise bad_request("tools", f"tools is {shown(tools)}, but must be a list of tools")
    listed = list(tools)
    if len(listed) > _MAX_TOOLS:
        raise bad_request("tools", f"tools has {len(listed)} entries, but at most {_MAX_TOOLS} are allowed")
    functions: list[_Function] = []
    names: set[str] = set()
    for index, tool in enumerate(listed):
        place = places.format(index)
        function = _function(place, _function_of(f"tools[{index}]", _plain(tool)))
        if function.name in names:
            raise bad_request(f"{place}.name", f"{place}.name is {function.name}, as that of another function")
        names.add(function.name)
        functions.append(function)
    return functions


def _function_of(place: str, tool: object) -> object:
    if not isinstance(tool, Mapping):
        raise bad_request(place, f"{place} is {shown(tool)}, but must be an object with type and function")
    kind = tool.get("type")
    if kind == "custom":
        raise bad_request(
            f"{place}.type", f"{place}.type is custom, which is not supported: use function", code="unsupported"
        )
    if kind != "function":
        raise bad_request(f"{place}.type", f"{place}.type is {shown(kind)}, but must be function")
    return _plain(tool.get("function"))


def _function(place: str, function: object) -> _Function:
    from ._grammar.compiler import arguments_of

    if not isinstance(function, Mapping):
        raise bad_request(place, f"{place} is {shown(function)}, but must be an object with a name")
    for key in function:
        if key not in ("name", "description", "parameters", "strict"):
            raise bad_request(place, f"{place} has an unknown key {shown(key)}")
    name, description = function.get("name"), function.get("description")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad_request(f"{place}.name", f"{place}.name is {shown(name)}, but must be 1-64 letters, digits, _ or -")
    if not isinstance(description, (str, type(None))):
        raise bad_request(f"{place}.description", f"{place}.description is {shown(description)}, but must be text")
    strict = function.get("strict")
    if not isinstance(strict, (bool, type(None))):
        raise bad_request(f"{place}.strict", f"{place}.strict is {shown(strict)}, but must be a boolean")
    # Without strict the schema is kept to as far as that is possible.
    arguments = arguments_of(_schema_of(function), f"{place}.parameters", lenient=not strict)
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    told = {"name": name, "description": description or "", "parameters": parameters}
    return _Function(name, told, arguments, strict is True)


def _schema_of(function: Mapping[str, Any]) -> object:
    """Return the schema of a function's arguments; without parameters it takes none."""
    parameters = function.get("parameters")
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    return nothing if parameters is None or parameters == {} else parameters


def _choice(choice: object, names: list[str], place: str) -> tuple[str, set[str] | None]:
    """Return the kind of choice, and the functions that may be called, `None` for all."""
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise bad_request(
                "tool_choice", f"tool_choice is {shown(choice)}, but must be one of {', '.join(_CHOICES)}"
            )
        return choice, None
    choice = _plain(choice)
    if not isinstance(choice, Mapping):
        raise bad_request("tool_choice", f"tool_choice is {shown(choice)}, but must be text or an object")
    kind = choice.get("type")
    if kind == "function":
        return "required", {_named(choice, place, names)}
    if kind == "allowed_tools":
        return _allowed(choice.get("allowed_tools"), names)
    raise bad_request("tool_choice.type", f"tool_choice.type is {shown(kind)}, but must be function or allowed_tools")


def _allowed(allowed: object, names: list[str]) -> tuple[str, set[str]]:
    place = "tool_choice.allowed_tools"
    if not isinstance(allowed, Mapping):
        raise bad_request(place, f"{place} is {shown(allowed)}, but must be an object with mode and tools")
    mode, tools = allowed.get("mode"), allowed.get("tools")
    if mode not in ("auto", "required"):
        raise bad_request(f"{place}.mode", f"{place}.mode is {shown(mode)}, but must be auto or required")
    if not isinstance(tools, (list, tuple)) or not tools:
        raise bad_request(f"{place}.tools", f"{place}.tools is {shown(tools)}, but must be a list of tools")
    return mode, {_named(tool, f"{place}.tools[{index}]", names) for index, tool in enumerate(tools)}


def _named(choice: object, place: str, names: list[str]) -> str:
    function = choice.get("function") if isinstance(choice, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if name not in names:
        raise bad_request(place, f"{place} names the function {shown(name)}, which tools does not have")
    assert isinstance(name, str)
    return name

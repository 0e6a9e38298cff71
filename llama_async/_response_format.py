"""`response_format` -> the grammar that an answer must obey."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import pydantic

from ._errors import bad_request, shown
from ._grammar.known import ANY_OBJECT, is_compiled, is_large

__all__ = ["is_ready", "response_grammar"]

_PARAM = "response_format"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def response_grammar(response_format: object) -> str | None:
    """Return the grammar of the answers asked for, `None` for free text.

    Args:
        response_format: In openai's form. `json_object` may carry a `schema`, as llama-server takes it. Whether
            `strict` or not, a schema is always enforced.

    Raises:
        BadRequestError: It is malformed, or the schema has what cannot be enforced.
        TypeError: It is a class, which only `parse` takes.
    """
    if inspect.isclass(response_format) and issubclass(response_format, pydantic.BaseModel):
        raise TypeError("response_format is a class: pass it to `chat.completions.parse()` instead")
    if not isinstance(response_format, Mapping):
        raise bad_request(_PARAM, f"{_PARAM} is {shown(response_format)}, but must be an object with a type")
    kind = response_format.get("type")
    if kind == "text":
        _check_keys(response_format, _PARAM, {"type"})
        return None
    if kind == "json_object":
        _check_keys(response_format, _PARAM, {"type", "schema"})
        return _grammar(response_format.get("schema"))
    if kind == "json_schema":
        _check_keys(response_format, _PARAM, {"type", "json_schema"})
        return _json_schema(response_format.get("json_schema"))
    raise bad_request(f"{_PARAM}.type", f"{_PARAM}.type is {shown(kind)}, but must be text, json_object or json_schema")


def is_ready(response_format: object) -> bool:
    """Whether `response_grammar` takes no time: its schema is known, small things are wrong, or there is none."""
    if not isinstance(response_format, Mapping) or response_format.get("type") not in ("json_object", "json_schema"):
        return True
    wrapper = response_format.get("json_schema")
    schema = _asked(wrapper.get("schema") if isinstance(wrapper, Mapping) else response_format.get("schema"))
    return not isinstance(schema, Mapping) or (not is_large(schema) and is_compiled(schema))


def _asked(schema: object) -> object:
    return ANY_OBJECT if schema is None or schema == {} else schema


def _grammar(schema: object) -> str:
    from ._grammar.compiler import schema_grammar  # 40 ms that a program without schemas does not pay

    return schema_grammar(_asked(schema), _PARAM)


def _json_schema(wrapper: object) -> str:
    place = f"{_PARAM}.json_schema"
    if not isinstance(wrapper, Mapping):
        raise bad_request(place, f"{place} is {shown(wrapper)}, but must be an object with name and schema")
    _check_keys(wrapper, place, {"name", "schema", "strict", "description"})
    name = wrapper.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad_request(
            f"{place}.name", f"{place}.name is {shown(name)}, but must be 1 to 64 letters, digits, _ or -"
        )
    if not isinstance(wrapper.get("strict"), (bool, type(None))):
        raise bad_request(f"{place}.strict", f"{place}.strict is {shown(wrapper['strict'])}, but must be a boolean")
    if not isinstance(wrapper.get("description"), (str, type(None))):
        raise bad_request(
            f"{place}.description", f"{place}.description is {shown(wrapper['description'])}, but must be text"
        )
    return _grammar(wrapper.get("schema"))


def _check_keys(value: Mapping[Any, Any], place: str, known: set[str]) -> None:
    for key in value:
        if key not in known:
            raise bad_request(place, f"{place} has an unknown key {shown(key)}")

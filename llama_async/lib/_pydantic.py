"""A class -> the JSON schema that asks for exactly its fields.

pydantic's own schema leaves fields with defaults optional and allows others beside them; an answer that is to be parsed
must have all of its fields and no others. The conversion is openai 3.54.0's, as `tests/test_strict_schema.py` has it.
"""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any

import pydantic
from typing_extensions import TypeIs

__all__ = ["is_basemodel_type", "is_dataclass_like_type", "to_strict_json_schema"]


def to_strict_json_schema(model: type[pydantic.BaseModel] | pydantic.TypeAdapter[Any]) -> dict[str, Any]:
    """Return the strict JSON schema of a class.

    Every property is required, and no others are allowed where the class does not say otherwise; defaults of null go;
    a `$ref` with siblings is written out, and an `allOf` of one is merged into its parent.

    Args:
        model: A pydantic class, or the adapter of another type.

    Raises:
        TypeError: It is neither, or something in its schema is no object where a schema belongs.
        ValueError: A `$ref` leads nowhere, or could only be written out without end.
    """
    if isinstance(model, pydantic.TypeAdapter):
        schema = model.json_schema()
    elif is_basemodel_type(model):
        schema = model.model_json_schema()
    else:
        raise TypeError(f"model is {model!r}, but must be a pydantic class or a TypeAdapter")
    _make_strict(schema, schema, "#", ())
    return schema


def is_basemodel_type(value: object) -> TypeIs[type[pydantic.BaseModel]]:
    """Return whether this is a pydantic class."""
    return inspect.isclass(value) and issubclass(value, pydantic.BaseModel)


def is_dataclass_like_type(value: object) -> bool:
    """Return whether this is a class that pydantic's `dataclass` made, or one with `__pydantic_config__`."""
    return hasattr(value, "__pydantic_config__")


def _make_strict(schema: object, root: dict[str, Any], place: str, inlined: tuple[str, ...]) -> None:
    """Make a schema, and all in it, strict in place.

    Args:
        schema: The schema.
        root: What its references point into.
        place: Where it stands, for errors.
        inlined: The references that were written out on the way here.
    """
    if not isinstance(schema, dict):
        raise TypeError(f"the schema at {place} is {schema!r}, but must be an object")
    for name in ("$defs", "definitions"):
        definitions = schema.get(name)
        if isinstance(definitions, dict):
            for key, definition in definitions.items():
                _make_strict(definition, root, f"{place}/{name}/{key}", inlined)
    if schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    properties = schema.get("properties")
    if isinstance(properties, dict):
        schema["required"] = list(properties)
        for key, value in properties.items():
            _make_strict(value, root, f"{place}/properties/{key}", inlined)
    if isinstance(schema.get("items"), dict):
        _make_strict(schema["items"], root, f"{place}/items", inlined)
    for name in ("anyOf", "allOf"):
        variants = schema.get(name)
        if isinstance(variants, list):
            for index, variant in enumerate(variants):
                _make_strict(variant, root, f"{place}/{name}/{index}", inlined)
    if isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
        (only,) = schema["allOf"]
        schema.update(only)
        # An allOf that came with the merged one is lost with it, as in the reference.
        schema.pop("allOf")
    if "default" in schema and schema["default"] is None:
        schema.pop("default")
    reference = schema.get("$ref")
    if reference and len(schema) > 1:
        _inline(schema, reference, root, place, inlined)


def _inline(
    schema: dict[str, Any], reference: object, root: dict[str, Any], place: str, inlined: tuple[str, ...]
) -> None:
    """Replace a reference by what it points to; the keywords beside it take precedence."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise ValueError(f"the $ref at {place} is {reference!r}, but must be text that starts with '#/'")
    if reference in inlined:
        raise ValueError(
            f"the $ref {reference!r} at {place} has keywords beside it, so it would have to be written out, "
            f"but it contains itself"
        )
    target: object = root
    for key in reference.removeprefix("#/").split("/"):
        if not isinstance(target, dict) or key not in target:
            raise ValueError(f"the $ref at {place} is {reference!r}, which leads nowhere")
        target = target[key]
    if not isinstance(target, dict):
        raise TypeError(f"the $ref at {place} is {reference!r}, which leads to {target!r} instead of an object")
    own = dict(schema)
    # A copy: the target may hold this very schema, which would then hold itself.
    schema.update(deepcopy(target))
    schema.update(own)
    schema.pop("$ref")
    # The target may stand behind this place and not be strict yet.
    _make_strict(schema, root, place, (*inlined, reference))

"""Schemas of tools' arguments: rewritten into keywords that upstream's grammar converter obeys, since its grammars of
calls are built by it, or refused with the keyword and its place. An answer's schema is compiled by `compiler`.

The converter accepts and ignores a dozen keywords, and siblings of others; nothing may be silently unconstrained. What
is written here may accept fewer values than the schema (no additional properties beside listed ones, for instance),
never more. Pure; bounded in depth and size; results are cached by content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from llama_async._errors import bad_request, shown

from .values import (
    ANNOTATIONS,
    BY_TYPE,
    MAX_REPEAT,
    TYPES,
    Refused,
    Schema,
    TooLarge,
    both_properties,
    common_types,
    count,
    enumeration,
    equal,
    is_number,
    is_outside,
    named_types,
    number,
    refuse,
    string,
)

__all__ = ["enforceable_schema"]

_MAX_BYTES = 1 << 18
_MAX_DEPTH = 32
_MAX_NODES = 2000
# Each optional property may be the first that is present: the grammar grows with their number squared.
_MAX_OPTIONAL = 128

_BY_TYPE_ALL = frozenset().union(*BY_TYPE.values())
_GENERAL = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "oneOf", "type"})
# Bounds that tighten when two schemas are combined: by the larger, by the smaller.
_LOWER = frozenset({"exclusiveMinimum", "minItems", "minLength", "minProperties", "minimum"})
_UPPER = frozenset({"exclusiveMaximum", "maxItems", "maxLength", "maxProperties", "maximum"})


def enforceable_schema(
    schema: object, param: str, *, lenient: bool = False, described: bool = False
) -> Mapping[str, Any]:
    """Return an equivalent or narrower schema that the engine enforces whole.

    Args:
        schema: Any JSON schema.
        param: The parameter it came with, for the error.
        lenient: Loosen what cannot be enforced instead of refusing it.
        described: Keep descriptions, which templates may read.

    Raises:
        BadRequestError: It is no schema, is too large, or has a keyword that cannot be enforced.
    """
    if not isinstance(schema, Mapping):
        raise bad_request(param, f"{param} has the schema {shown(schema)}, but a schema must be an object")
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise bad_request(param, f"{param} has a schema that is not JSON") from None
    if len(text) > _MAX_BYTES:
        raise bad_request(param, f"{param} has a schema of {len(text)} bytes, but at most {_MAX_BYTES} are supported")
    try:
        return _rewritten(text, lenient, described)
    except Refused as refused:
        message = f"{param}: the schema cannot be enforced: {refused.message} (at {refused.place})"
        raise bad_request(param, message) from None


@lru_cache(maxsize=64)
def _rewritten(text: str, lenient: bool, described: bool) -> Mapping[str, Any]:
    return _Rewriter(json.loads(text), lenient, described).run()


class _Rewriter:
    def __init__(self, root: Schema, lenient: bool, described: bool) -> None:
        self._root = root
        self._lenient = lenient
        self._described = described
        self._n_nodes = 0
        self._names: dict[str, str] = {}  # pointer -> name in $defs
        self._defs: Schema = {}
        self._property_names: set[str] = set()

    def run(self) -> Mapping[str, Any]:
        result = self._node(self._root, "#", 0)
        if not self._defs:
            return MappingProxyType(result)
        prefix = "d"
        # The converter names its rule for a reference `ref--defs-<name>`, and others after properties.
        while any(f"ref--defs-{prefix}" in name for name in self._property_names):
            prefix += "x"
        return MappingProxyType(
            {
                **_renamed(result, prefix),
                "$defs": {prefix + name: _renamed(schema, prefix) for name, schema in self._defs.items()},
            }
        )

    # -- any schema

    def _node(self, schema: object, place: str, depth: int) -> Schema:
        try:
            node = self._exact(schema, place, depth)
        except Refused as refused:
            if not self._lenient or isinstance(refused, TooLarge) or not isinstance(schema, dict):
                raise
            node = self._loose(schema, place, depth)
        if self._described and isinstance(schema, dict) and isinstance(schema.get("description"), str):
            node = {**node, "description": schema["description"]}
        return node

    def _loose(self, schema: Schema, place: str, depth: int) -> Schema:
        """Return what is left of a schema that cannot be enforced: its type, and the properties of an object."""
        properties = schema.get("properties")
        if isinstance(properties, dict):
            kept: Schema = {"type": "object"}
            kept.update(
                (key, schema[key]) for key in ("properties", "required", "additionalProperties") if key in schema
            )
            return self._exact(kept, place, depth)
        name = schema.get("type")
        known: Schema = {}
        if isinstance(name, str) and name in TYPES:
            known["type"] = name
        return known

    def _exact(self, schema: object, place: str, depth: int) -> Schema:
        if schema is True:
            return {}
        if schema is False:
            raise Refused(place, "no value satisfies false")
        if not isinstance(schema, dict):
            raise Refused(place, f"a schema is {shown(schema)}, but must be an object")
        self._count(place, depth)
        node = self._known(schema, place)
        if "$ref" in node and len(node) == 1:
            return self._reference(node["$ref"], place, depth)
        if "$ref" in node or "allOf" in node:
            return self._node(self._combined(node, place), place, depth + 1)
        for keyword in ("anyOf", "oneOf"):
            if keyword in node:
                return self._alternatives(node, keyword, place, depth)
        if "const" in node or "enum" in node:
            return enumeration(node, place)
        return self._typed(node, place, depth)

    def _count(self, place: str, depth: int) -> None:
        self._n_nodes += 1
        if self._n_nodes > _MAX_NODES:
            raise TooLarge(place, f"it has more than {_MAX_NODES} subschemas")
        if depth > _MAX_DEPTH:
            raise TooLarge(place, f"it nests deeper than {_MAX_DEPTH} levels")

    @staticmethod
    def _known(schema: Schema, place: str) -> Schema:
        """Return the schema without annotations."""
        node: Schema = {}
        for keyword, value in schema.items():
            if keyword in _GENERAL or keyword in _BY_TYPE_ALL:
                node[keyword] = value
            elif keyword in ("$id", "$anchor", "id") and isinstance(value, str):
                continue  # only references into the document by pointer are followed, and they ignore both
            elif keyword not in ANNOTATIONS and not keyword.startswith("x-"):
                raise Refused(place, f"the keyword {keyword!r} is not supported")
        return node

    # -- references and combinations

    def _reference(self, pointer: object, place: str, depth: int) -> Schema:
        target = self._resolve(pointer, place)
        assert isinstance(pointer, str)
        if pointer not in self._names:
            name = self._names[pointer] = str(len(self._names))
            self._defs[name] = {}  # its place in the order
            self._defs[name] = self._node(target, pointer, depth + 1)
        return {"$ref": self._names[pointer]}

    def _resolve(self, pointer: object, place: str) -> object:
        if not isinstance(pointer, str) or (pointer != "#" and not pointer.startswith("#/")):
            raise Refused(place, f"$ref is {shown(pointer)}, but only references into the schema (#/...) are supported")
        target: Any = self._root
        for step in pointer.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~").replace("%25", "%")
            if isinstance(target, dict) and key in target:
                target = target[key]
            elif isinstance(target, list) and key.isascii() and key.isdigit() and int(key) < len(target):
                target = target[int(key)]
            else:
                raise Refused(place, f"$ref is {pointer!r}, which the schema does not have")
        return target

    def _combined(self, node: Schema, place: str) -> Schema:
        """Return one schema for `allOf`, and for a `$ref` beside other keywords."""
        rest = {key: value for key, value in node.items() if key not in ("allOf", "$ref")}
        parts = node.get("allOf", [])
        if not isinstance(parts, list):
            raise Refused(place, "allOf must be a list of schemas")
        if "$ref" in node:
            parts = [{"$ref": node["$ref"]}, *parts]
        result = rest
        for index, part in enumerate(parts):
            result = self._merged(result, self._flat(part, f"{place}/allOf/{index}", 0), place)
        return result

    def _flat(self, schema: object, place: str, depth: int) -> Schema:
        """Return a schema without `$ref` and `allOf` at its top."""
        self._count(place, depth)
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            raise Refused(place, f"a schema is {shown(schema)}, but must be an object")
        node = self._known(schema, place)
        if "$ref" in node:
            target = self._flat(self._resolve(node.pop("$ref"), place), place, depth + 1)
            node = (
                self._merged(node, target, place)
                if "allOf" not in node
                else {**node, "allOf": [*node["allOf"], target]}
            )
        if "allOf" not in node:
            return node
        result = {key: value for key, value in node.items() if key != "allOf"}
        if not isinstance(node["allOf"], list):
            raise Refused(place, "allOf must be a list of schemas")
        for part in node["allOf"]:
            result = self._merged(result, self._flat(part, place, depth + 1), place)
        return result

    def _merged(self, one: Schema, other: Schema, place: str) -> Schema:
        """Return the schema of the values that satisfy both."""
        self._check_closed(one, other, place)
        result = dict(one)
        for keyword, value in other.items():
            if keyword not in result or result[keyword] == value:
                result[keyword] = value
            elif keyword == "additionalProperties" and value in (True, {}):
                continue
            elif keyword == "additionalProperties" and result[keyword] in (True, {}):
                result[keyword] = value
            elif keyword == "type":
                result[keyword] = common_types(result[keyword], value, place)
            elif keyword == "required" and isinstance(value, list) and isinstance(result[keyword], list):
                result[keyword] = [*result[keyword], *(name for name in value if name not in result[keyword])]
            elif keyword == "properties" and isinstance(value, dict) and isinstance(result[keyword], dict):
                result[keyword] = both_properties(result[keyword], value)
            elif keyword in _LOWER | _UPPER and is_number(value) and is_number(result[keyword]):
                result[keyword] = (max if keyword in _LOWER else min)(value, result[keyword])
            elif keyword == "enum" and isinstance(value, list) and isinstance(result[keyword], list):
                result[keyword] = [item for item in result[keyword] if any(equal(item, same) for same in value)]
            else:
                raise Refused(place, f"schemas that combine (allOf, $ref) have different values of {keyword!r}")
        return result

    @staticmethod
    def _check_closed(one: Schema, other: Schema, place: str) -> None:
        """Refuse where `additionalProperties` of one part speaks of properties of the other."""
        for this, that in ((one, other), (other, one)):
            is_open = this.get("additionalProperties", True) in (True, {})
            if not is_open and set(that.get("properties", ())) - set(this.get("properties", ())):
                raise Refused(place, "schemas that combine (allOf, $ref) restrict each other's additionalProperties")

    def _alternatives(self, node: Schema, keyword: str, place: str, depth: int) -> Schema:
        alternatives = node[keyword]
        if not isinstance(alternatives, list) or not alternatives:
            raise Refused(place, f"{keyword} must be a list of schemas, at least one")
        rest = {key: value for key, value in node.items() if key != keyword}
        results = []
        for index, alternative in enumerate(alternatives):
            at = f"{place}/{keyword}/{index}"
            merged = self._merged(self._flat(alternative, at, depth), rest, at) if rest else alternative
            results.append(self._node(merged, at, depth + 1))
        if keyword == "oneOf" and len(results) > 1:
            self._check_disjoint(results, place)
        return results[0] if len(results) == 1 else {"anyOf": results}

    def _check_disjoint(self, alternatives: list[Schema], place: str) -> None:
        for index, one in enumerate(alternatives):
            for other in alternatives[index + 1 :]:
                if not self._are_disjoint(one, other, 0):
                    raise Refused(
                        place, "oneOf has alternatives that a value may satisfy at once; anyOf would be supported"
                    )

    def _are_disjoint(self, one: Schema, other: Schema, depth: int) -> bool:
        if depth > _MAX_DEPTH:
            return False
        for this, that in ((one, other), (other, one)):
            if "$ref" in this:
                return self._are_disjoint(self._defs[this["$ref"]], that, depth + 1)
            if "anyOf" in this:
                return all(self._are_disjoint(part, that, depth + 1) for part in this["anyOf"])
        for this, that in ((one, other), (other, one)):
            if "enum" in this:
                return all(is_outside(value, that) for value in this["enum"])
        types = {one.get("type"), other.get("type")}
        if None in types or types == {"integer", "number"}:
            return False
        if len(types) == 2:
            return True
        if types != {"object"}:
            return False
        shared = set(one.get("required", ())) & set(other.get("required", ()))
        return any(self._are_disjoint(one["properties"][name], other["properties"][name], depth + 1) for name in shared)

    # -- values

    def _typed(self, node: Schema, place: str, depth: int) -> Schema:
        if "type" in node:
            types = named_types(node["type"], place)
        else:
            # Without a type a keyword speaks of the values it can apply to: these are the ones that come.
            types = tuple(name for name, keywords in BY_TYPE.items() if keywords & node.keys())
            if not types:
                return {}
        results = [self._of_type(name, node, place, depth) for name in types]
        return results[0] if len(results) == 1 else {"anyOf": results}

    def _of_type(self, name: str, node: Schema, place: str, depth: int) -> Schema:
        if name == "object":
            return self._object(node, place, depth)
        if name == "array":
            return self._array(node, place, depth)
        if name == "string":
            return string(node, place)
        if name in ("integer", "number"):
            return number(name, node, place)
        return {"type": name}

    def _object(self, node: Schema, place: str, depth: int) -> Schema:
        properties = node.get("properties", {})
        required = node.get("required", [])
        if not isinstance(properties, dict):
            raise Refused(place, "properties must be an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise Refused(place, "required must be a list of names")
        additional = node.get("additionalProperties", True)
        if additional is False:
            for name in required:
                if name not in properties:
                    raise Refused(place, f"{name!r} is required, but additionalProperties is false")
        properties = {**properties, **{name: additional for name in required if name not in properties}}
        refuse(
            node, place, "patternProperties", "propertyNames", "dependentSchemas", "dependencies", neutral=({}, True)
        )
        refuse(node, place, "dependentRequired", neutral=({},))
        refuse(node, place, "unevaluatedProperties", neutral=(True,) if additional is not False else (True, False))
        result: Schema = {"type": "object"}
        if properties:
            result["properties"] = {
                name: self._node(schema, f"{place}/properties/{name}", depth + 1) for name, schema in properties.items()
            }
            result["required"] = [name for name in properties if name in required]
            self._property_names.update(properties)
        if len(properties) - len(result.get("required", ())) > _MAX_OPTIONAL:
            raise Refused(place, f"it has more than {_MAX_OPTIONAL} properties that are not required")
        is_open = additional is not False and ("additionalProperties" in node or not properties)
        if is_open:
            for name in properties:
                if not name or any(c in '"\\]^' or ord(c) < 0x20 for c in name):
                    raise Refused(place, f"additionalProperties beside a property named {name!r} is not supported")
            result["additionalProperties"] = self._node(additional, f"{place}/additionalProperties", depth + 1) or True
        else:
            result["additionalProperties"] = False
        least = count(node, "minProperties", place) or 0
        most = count(node, "maxProperties", place)
        if least > len(result.get("required", ())):
            raise Refused(place, "minProperties is not supported beyond the number of required properties")
        if most is not None and (is_open or most < len(properties)):
            raise Refused(place, "maxProperties is not supported")
        return result

    def _array(self, node: Schema, place: str, depth: int) -> Schema:
        refuse(node, place, "contains", "unevaluatedItems", neutral=(True,))
        refuse(
            node,
            place,
            "minContains",
            "maxContains",
            neutral=() if "contains" in node else (node.get("minContains"), node.get("maxContains")),
        )
        least = count(node, "minItems", place) or 0
        most = count(node, "maxItems", place)
        if most is not None and most < least:
            raise Refused(place, f"minItems is {least}, but maxItems is {most}")
        items = node.get("items", True)
        tuple_items = items if isinstance(items, list) else node.get("prefixItems")
        if tuple_items:
            if not isinstance(tuple_items, list):
                raise Refused(place, "prefixItems must be a list of schemas")
            if least > len(tuple_items) or (most is not None and most < len(tuple_items)):
                raise Refused(place, "minItems and maxItems beside prefixItems must allow just these items")
            if node.get("uniqueItems") and len(tuple_items) > 1:
                raise Refused(place, "uniqueItems is not supported")
            return {
                "type": "array",
                "prefixItems": [
                    self._node(item, f"{place}/prefixItems/{index}", depth + 1)
                    for index, item in enumerate(tuple_items)
                ],
            }
        if items is False or items == []:
            most = 0
            if least > 0:
                raise Refused(place, f"minItems is {least}, but no items are allowed")
        if max(least, most or 0) > MAX_REPEAT:
            raise Refused(place, f"minItems and maxItems must be at most {MAX_REPEAT}")
        if node.get("uniqueItems") and (most is None or most > 1):
            raise Refused(place, "uniqueItems is not supported")
        result: Schema = {"type": "array"}
        if items not in (True, False, []):
            result["items"] = self._node(items, f"{place}/items", depth + 1)
        if least:
            result["minItems"] = least
        if most is not None:
            result["maxItems"] = most
        return result


def _renamed(schema: Any, prefix: str) -> Any:
    """Return a rewritten schema whose references name their target in `$defs`."""
    if isinstance(schema, list):
        return [_renamed(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and isinstance(schema["$ref"], str):
        return {"$ref": f"#/$defs/{prefix}{schema['$ref']}"}
    return {
        key: {name: _renamed(item, prefix) for name, item in value.items()}
        if key == "properties"
        else value
        if key == "enum"
        else _renamed(value, prefix)
        for key, value in schema.items()
    }

"""Where the references of a JSON schema lead: pointers, anchors and identifiers within the one document.

Nothing is fetched: a reference that leaves the document is refused. Pure.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from llama_async._errors import shown

from .pace import let_others_run
from .values import Refused, Schema, TooLarge

__all__ = ["Document"]

_MAX_NODES = 5000
_MAX_DEPTH = 128

# Keywords whose value is a schema, a list of schemas, or schemas by name.
_ONE = (
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_BY_NAME = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties", "dependencies")


class Document:
    """One schema and all that stand within it.

    Args:
        root: As `json.loads` gave it: no two places share an object.

    Raises:
        TooLarge: It has too many schemas, or they nest too deep.
    """

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._bases: dict[int, str] = {}
        self._places: dict[int, str] = {}
        self._resources: dict[str, Schema] = {}
        self._anchors: dict[str, Schema] = {}
        self._dynamic: dict[str, list[Schema]] = {}
        self._resources[""] = root
        self._walk(root)

    def place(self, schema: object, otherwise: str) -> str:
        """Return where a schema stands, as a pointer."""
        return self._places.get(id(schema), otherwise)

    def _walk(self, root: Schema) -> None:
        todo: list[tuple[object, str, str, int]] = [(root, "", "#", 0)]
        while todo:
            let_others_run()
            schema, base, place, depth = todo.pop()
            if not isinstance(schema, dict):
                continue
            if len(self._bases) >= _MAX_NODES:
                raise TooLarge(place, f"it has more than {_MAX_NODES} subschemas")
            if depth > _MAX_DEPTH:
                raise TooLarge(place, f"it nests deeper than {_MAX_DEPTH} levels")
            base = self._identify(schema, base, root)
            self._bases[id(schema)] = base
            self._places[id(schema)] = place
            todo += [(schema[keyword], base, f"{place}/{keyword}", depth + 1) for keyword in _ONE if keyword in schema]
            for keyword in _LISTS:
                if isinstance(schema.get(keyword), list):
                    todo += [
                        (part, base, f"{place}/{keyword}/{index}", depth + 1)
                        for index, part in enumerate(schema[keyword])
                    ]
            for keyword in _BY_NAME:
                if isinstance(schema.get(keyword), dict):
                    todo += [
                        (part, base, f"{place}/{keyword}/{name}", depth + 1) for name, part in schema[keyword].items()
                    ]

    def _identify(self, schema: Schema, base: str, root: Schema) -> str:
        name = schema.get("$id", schema.get("id"))
        if isinstance(name, str) and not name.startswith("#"):
            base = _join(base, name).rstrip("#")
            self._resources[base] = schema
        elif schema is root:
            self._resources[base] = schema
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(keyword), str):
                self._anchors.setdefault(f"{base}#{schema[keyword]}", schema)
        if isinstance(schema.get("$dynamicAnchor"), str):
            self._dynamic.setdefault(schema["$dynamicAnchor"], []).append(schema)
        return base

    def target(self, schema: Schema, keyword: str) -> object:
        """Return the schema that a reference names.

        Args:
            schema: The one with the reference.
            keyword: `$ref` or `$dynamicRef`.

        Raises:
            Refused: It leaves the document, leads nowhere, or depends on the way that led there.
        """
        place = self.place(schema, "#")
        reference = schema[keyword]
        if not isinstance(reference, str):
            raise Refused(place, f"{keyword} is {shown(reference)}, but must be text")
        base = self._bases.get(id(schema), "")
        uri, fragment = urldefrag(_join(base, reference))
        fragment = unquote(fragment)
        if keyword == "$dynamicRef" and (len(self._dynamic.get(fragment, ())) > 1 or not fragment):
            raise Refused(place, f"$dynamicRef is {reference!r}, which has more than one target")
        resource = self._resources.get(uri)
        if resource is None:
            raise Refused(place, f"$ref is {reference!r}, but only references into the schema are supported")
        if fragment and not fragment.startswith("/"):
            found = self._anchors.get(f"{uri}#{fragment}")
            if found is None:
                raise Refused(place, f"{keyword} is {reference!r}, which the schema does not have")
            return found
        return self._by_pointer(resource, fragment, reference, uri, place)

    def _by_pointer(self, resource: Schema, pointer: str, reference: str, base: str, place: str) -> object:
        target: Any = resource
        for step in pointer.split("/")[1:]:
            if isinstance(target, dict):
                base = self._bases.get(id(target), base)
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and key in target:
                target = target[key]
            elif isinstance(target, list) and key.isascii() and key.isdigit() and int(key) < len(target):
                target = target[int(key)]
            else:
                raise Refused(place, f"$ref is {reference!r}, which the schema does not have")
        if isinstance(target, dict):
            # One that stands where no keyword puts a schema.
            self._bases.setdefault(id(target), base)
            self._places.setdefault(id(target), reference)
        return target


def _join(base: str, reference: str) -> str:
    if reference.startswith("#"):
        return urldefrag(base)[0] + reference
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference

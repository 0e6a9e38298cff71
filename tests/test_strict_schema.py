"""Strict schemas and function tools equal those of the pinned `openai`, down to the order of keys."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Annotated, Any, Generic, Literal, TypeVar

import openai
import openai.lib
import openai.lib._pydantic
import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter
from typing_extensions import NotRequired, TypedDict

import llama_async
import llama_async.lib
from llama_async.lib._pydantic import to_strict_json_schema

_T = TypeVar("_T")


class Color(enum.Enum):
    """What something looks like."""

    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Empty(BaseModel):
    pass


class Plain(BaseModel):
    """A docstring."""

    name: str
    count: int
    share: float
    flag: bool


class Defaults(BaseModel):
    name: str = "nobody"
    count: int = 0
    nothing: str | None = None
    many: list[int] = []
    made: list[str] = Field(default_factory=list)


class Optionals(BaseModel):
    one: str | None
    two: str | None = None
    three: Plain | None = None


class Nested(BaseModel):
    plain: Plain
    more: list[Plain]
    by_name: dict[str, Plain]


class Described(BaseModel):
    plain: Plain = Field(description="a reference with a sibling")
    color: Color = Field(description="an enum with a sibling", title="Colour")
    again: Plain = Field(description="the same reference once more")
    items: list[Annotated[Plain, Field(description="in a list")]]


class DescribedDeep(BaseModel):
    outer: Described = Field(description="references that hold references with siblings")


class DefaultReference(BaseModel):
    color: Color = Color.RED
    plain: Plain = Plain(name="n", count=1, share=0.5, flag=True)
    size: Size = Field(default=Size.SMALL, description="with both")


class Enums(BaseModel):
    color: Color
    size: Size
    literal: Literal["a", "b", 3]
    single: Literal["only"]
    optional: Color | None = None


class Unions(BaseModel):
    plain: int | str
    models: Plain | Empty
    nested: list[int | list[str] | None]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = []


class Discriminated(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []


class Constrained(BaseModel):
    text: str = Field(min_length=1, max_length=20, pattern="^[a-z]+$")
    number: int = Field(ge=0, lt=100, multiple_of=5)
    real: float = Field(gt=-1.5, le=1.5, examples=[0.5])
    items: list[int] = Field(min_length=1, max_length=3)
    deprecated: str = Field(deprecated=True, json_schema_extra={"x-note": "kept"})


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    snake_case: int = Field(alias="camelCase")
    other: str = Field(serialization_alias="written")


class Formats(BaseModel):
    when: dt.datetime
    day: dt.date
    took: dt.timedelta
    id: uuid.UUID
    amount: decimal.Decimal
    raw: bytes


class Containers(BaseModel):
    pair: tuple[int, str]
    many: tuple[int, ...]
    unique: set[str]
    frozen: frozenset[int]
    free: dict[str, Any]
    anything: Any
    nested: list[list[dict[str, list[int]]]]


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class LinkedList(BaseModel):
    """A list whose rest may be missing."""

    value: str
    rest: LinkedList | None = Field(default=None, description="what follows")


class Ping(BaseModel):
    pong: Pong | None = None


class Pong(BaseModel):
    ping: Ping | None = None
    pings: list[Ping]


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid", title="A title of its own")

    value: int


class Allowing(BaseModel):
    model_config = ConfigDict(extra="allow")

    value: int
    inner: Forbidding


class Box(BaseModel, Generic[_T]):
    content: _T
    label: str = ""


class BoxOfBoxes(BaseModel):
    boxes: list[Box[Box[int]]]
    plain: Box[Plain]


class Parent(BaseModel):
    inherited: int


class Child(Parent):
    """It has a parent."""

    own: str = Field(default="x", description="its own")


class Extended(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"value": 1}], "default": None})

    value: int


def raw(name: str, schema: dict[str, Any]) -> type[BaseModel]:
    """Return a class with a schema that pydantic itself would not write."""

    class Raw(BaseModel):
        @classmethod
        def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return copy.deepcopy(schema)

    Raw.__name__ = name
    return Raw


_OBJECT = {"type": "object", "properties": {"a": {"type": "string", "default": None}}}
_DEFS = {"$defs": {"Late": _OBJECT, "Text": {"type": "string", "title": "Text", "default": None}}}
RAW = [
    raw("AllOfOne", {**_DEFS, "type": "object", "properties": {"v": {"allOf": [_OBJECT], "description": "d"}}}),
    raw("AllOfReference", {"properties": {"v": {"allOf": [{"$ref": "#/$defs/Late"}], "title": "t"}}, **_DEFS}),
    raw("AllOfTwo", {"properties": {"v": {"allOf": [_OBJECT, {"type": "object", "title": "t"}]}}}),
    raw("AllOfNested", {"properties": {"v": {"allOf": [{"allOf": [_OBJECT], "title": "inner"}], "title": "outer"}}}),
    raw("AllOfInAllOf", {"properties": {"v": {"allOf": [{"allOf": [_OBJECT, _OBJECT]}], "title": "outer"}}}),
    raw(
        "OldDefinitions", {"definitions": {"Old": _OBJECT}, "properties": {"v": {"$ref": "#/definitions/Old", "x": 1}}}
    ),
    raw(
        "ReferenceToReference", {"$defs": {"A": {"$ref": "#/$defs/B", "title": "a"}, "B": _OBJECT}, "$ref": "#/$defs/A"}
    ),
    raw("ReferenceIntoProperties", {"properties": {"v": _OBJECT, "w": {"$ref": "#/properties/v", "title": "w"}}}),
    raw("OwnKeysFirst", {**_DEFS, "properties": {"v": {"$ref": "#/$defs/Text", "title": "mine", "default": 1}}}),
    raw("Additional", {"type": "object", "additionalProperties": True, "required": ["no"], "items": False}),
    raw("Lists", {"type": "array", "items": [_OBJECT], "prefixItems": [_OBJECT], "oneOf": [_OBJECT], "anyOf": []}),
]


class Typed(TypedDict):
    name: str
    age: NotRequired[int]


class WithTyped(BaseModel):
    person: Typed
    people: list[Typed] = []


class Computed(BaseModel):
    side: int

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.side**2


class ManyNumbers(RootModel[list[int]]):
    """A list at the root."""


class RootOfModel(RootModel[dict[str, Plain]]):
    pass


@pydantic.dataclasses.dataclass
class Point:
    """A dataclass of pydantic's."""

    x: int
    y: float = 0.5
    label: str | None = None


@pydantic.dataclasses.dataclass
class Line:
    start: Point
    end: Annotated[Point, Field(description="where it ends")]
    via: list[Point] = dataclasses.field(default_factory=list)


class WithDataclass(BaseModel):
    line: Line
    point: Point | None = None


@dataclasses.dataclass
class Standard:
    """A dataclass of the standard library's."""

    x: int


MODELS: list[type[BaseModel]] = [
    *(Empty, Plain, Defaults, Optionals, Nested, Described, DescribedDeep, DefaultReference, Enums, Unions, Cat, Dog),
    *(Discriminated, Constrained, Aliased, Formats, Containers, Tree, LinkedList, Ping, Pong, Forbidding, Allowing),
    *(Box[int], Box[Plain], Box[list[Color | None]], BoxOfBoxes, Parent, Child, Extended, WithTyped),
    *(Computed, ManyNumbers, RootOfModel, WithDataclass, *RAW),
]
ADAPTERS: list[Any] = [Point, Line, list[Plain], Plain | Point, Typed, dict[str, Tree], int, Color | None]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_schema_of_a_class_equals_the_reference(model: type[BaseModel]) -> None:
    theirs = openai.lib._pydantic.to_strict_json_schema(model)
    assert json.dumps(to_strict_json_schema(model)) == json.dumps(theirs)


@pytest.mark.parametrize("type_", ADAPTERS, ids=str)
def test_schema_of_another_type_equals_the_reference(type_: Any) -> None:
    theirs = openai.lib._pydantic.to_strict_json_schema(TypeAdapter(type_))
    assert json.dumps(to_strict_json_schema(TypeAdapter(type_))) == json.dumps(theirs)


@pytest.mark.parametrize("type_", [Standard, int, "Plain", None, Plain(name="n", count=1, share=0.5, flag=True)])
def test_what_is_no_class_is_refused(type_: Any) -> None:
    for convert in (to_strict_json_schema, openai.lib._pydantic.to_strict_json_schema):
        with pytest.raises(TypeError):
            convert(type_)


class Endless(BaseModel):
    children: list[Annotated[Endless, Field(description="a reference with a sibling, to where it stands")]] = []


def test_reference_that_cannot_be_written_out_is_named() -> None:
    with pytest.raises(ValueError, match=r"'#/\$defs/Endless'.*contains itself"):
        to_strict_json_schema(Endless)


@pytest.mark.parametrize(
    ("schema", "error", "text"),
    [
        ({"$ref": "other.json", "title": "t"}, ValueError, "starts with '#/'"),
        ({"$ref": "#/$defs/Nowhere", "title": "t"}, ValueError, "leads nowhere"),
        ({"$ref": 5, "title": "t"}, ValueError, "is 5"),
        ({"$ref": "#/title", "title": "t"}, TypeError, "leads to 't'"),
        ({"type": "object", "properties": {"a": True}}, TypeError, "#/properties/a is True"),
    ],
)
def test_broken_schema_is_named(schema: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        to_strict_json_schema(raw("Broken", schema))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@pytest.mark.parametrize("options", [{}, {"name": "other"}, {"description": "said"}, {"name": "", "description": ""}])
def test_function_tool_equals_the_reference(model: type[BaseModel], options: dict[str, str]) -> None:
    ours: Any = llama_async.pydantic_function_tool(model, **options)
    theirs: Any = openai.pydantic_function_tool(model, **options)
    assert json.dumps(ours) == json.dumps(theirs)
    assert type(ours["function"]).__name__ == type(theirs["function"]).__name__
    assert ours["function"].model is model


@pytest.mark.parametrize("type_", [*MODELS, Point, Line])
def test_response_format_equals_the_reference(type_: Any) -> None:
    ours = llama_async.lib.type_to_response_format_param(type_)
    assert json.dumps(ours) == json.dumps(openai.lib.type_to_response_format_param(type_))


@pytest.mark.parametrize("type_", [Standard, int, dict[str, int], [1]])
def test_response_format_of_another_type_is_refused(type_: Any) -> None:
    for module in (llama_async.lib, openai.lib):
        with pytest.raises(TypeError):
            module.type_to_response_format_param(type_)


def test_response_format_that_is_none_stays() -> None:
    given: Any = {"type": "json_object"}
    assert llama_async.lib.type_to_response_format_param(given) is given
    assert llama_async.lib.type_to_response_format_param(llama_async.omit) is llama_async.omit

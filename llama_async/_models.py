"""The pydantic base of every result type, and the two ways to make an instance without validating it.

Owns `BaseModel` and `GenericModel`, tolerant construction (`construct`, for data of unknown quality), and
`make_builder` (for data that we made ourselves, on the path of every token). Knows no concrete type and nothing of the
engine. The behaviour follows openai 3.54.0, which `tests/test_types_parity.py` compares.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

import pydantic
from pydantic import ConfigDict
from pydantic_core import PydanticUndefined
from typing_extensions import Self, TypeAliasType

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = [
    "BaseModel",
    "Builder",
    "GenericModel",
    "PropertyInfo",
    "add_request_id",
    "assemble",
    "build",
    "make_builder",
]

_ModelT = TypeVar("_ModelT", bound=pydantic.BaseModel)
_ModelT_co = TypeVar("_ModelT_co", bound=pydantic.BaseModel, covariant=True)


class PropertyInfo:
    """Annotation metadata: the name of the field that tells the variants of a union apart."""

    __slots__ = ("discriminator",)

    def __init__(self, *, discriminator: str | None = None) -> None:
        self.discriminator = discriminator

    def __repr__(self) -> str:
        return f"PropertyInfo(discriminator={self.discriminator!r})"


class BaseModel(pydantic.BaseModel):
    """Base of all results: unknown fields are kept, and the schema is compiled at first use."""

    # Compiling the schemas at import would cost more than the import itself; most are never needed.
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", defer_build=True)

    if TYPE_CHECKING:
        # Set by add_request_id on the top-level object only; elsewhere reading it is an AttributeError.
        _request_id: str | None = None

    def to_dict(
        self,
        *,
        mode: Literal["json", "python"] = "python",
        use_api_names: bool = True,
        exclude_unset: bool = True,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        warnings: bool = True,
    ) -> dict[str, object]:
        """Return the object and all it holds as a dictionary, by default as it would stand on the wire.

        Args:
            mode: `"json"` leaves only JSON types, `"python"` may leave other objects.
            use_api_names: Use wire names rather than attribute names as keys.
            exclude_unset: Leave out fields that were never set.
            exclude_defaults: Leave out fields that equal their default.
            exclude_none: Leave out fields that are `None`.
            warnings: Warn about values that do not fit their field.
        """
        return self.model_dump(
            mode=mode,
            by_alias=use_api_names,
            exclude_unset=exclude_unset,
            exclude_defaults=exclude_defaults,
            exclude_none=exclude_none,
            warnings=warnings,
        )

    def to_json(
        self,
        *,
        indent: int | None = 2,
        use_api_names: bool = True,
        exclude_unset: bool = True,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        warnings: bool = True,
    ) -> str:
        """Return the object as JSON text.

        Args:
            indent: Spaces per level; `None` for one line without spaces.
            use_api_names: Use wire names rather than attribute names as keys.
            exclude_unset: Leave out fields that were never set.
            exclude_defaults: Leave out fields that equal their default.
            exclude_none: Leave out fields that are `None`.
            warnings: Warn about values that do not fit their field.
        """
        return self.model_dump_json(
            indent=indent,
            by_alias=use_api_names,
            exclude_unset=exclude_unset,
            exclude_defaults=exclude_defaults,
            exclude_none=exclude_none,
            warnings=warnings,
        )

    def __str__(self) -> str:
        # pydantic leaves the class name out of str(); the reference keeps it.
        return repr(self)

    @classmethod
    def construct(cls, /, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Make an instance from wire names without validation; nested models are built, misfits are kept as they are.

        Args:
            _fields_set: Names to count as set, beside those found in `values`.
            values: The fields by wire name; a missing required one becomes `None`, an unknown one is kept as extra.
        """
        fields_set = set() if _fields_set is None else _fields_set
        extra = dict(values)
        content: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            key = field.alias or name
            if key not in extra and cls.model_config.get("populate_by_name"):
                key = name
            if key in extra:
                value = extra.pop(key)
                content[name] = _default(field) if value is None else _coerce(value, field.annotation, field.metadata)
                fields_set.add(name)
            else:
                content[name] = _default(field)
        return assemble(cls, content, fields_set, extra)

    if not TYPE_CHECKING:
        # Type checkers see pydantic's own model_construct: same call, other parameter kinds.
        model_construct = construct


if TYPE_CHECKING:
    GenericModel = BaseModel
else:

    class GenericModel(BaseModel):
        """Base of results with a type parameter."""


def add_request_id(obj: BaseModel, request_id: str | None) -> None:
    """Set the id of the request on a top-level result; it is no field and never dumped."""
    obj._request_id = request_id  # noqa: SLF001 - public by the reference's contract, underscore and all


# -- building without validation ---------------------------------------------------------------------------------------

# The slots of pydantic.BaseModel, taken as descriptors: calling them skips BaseModel.__setattr__ and a lookup by name.
_set_dict = cast("Callable[[object, dict[str, Any]], None]", pydantic.BaseModel.__dict__["__dict__"].__set__)
_set_fields_set = pydantic.BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = pydantic.BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = pydantic.BaseModel.__dict__["__pydantic_private__"].__set__


def assemble(model: type[_ModelT], content: dict[str, Any], fields_set: set[str], extra: dict[str, Any]) -> _ModelT:
    """Make an instance of exactly these parts, which become its own.

    Args:
        model: Its class.
        content: A value for each of the class's fields, in their order.
        fields_set: Names of those that count as set.
        extra: What is no field.
    """
    instance = object.__new__(model)
    _set_dict(instance, content)
    _set_fields_set(instance, fields_set)
    _set_extra(instance, extra)
    _set_private(instance, None)
    return instance


class Builder(Protocol[_ModelT_co]):
    """What `make_builder` returns."""

    def __call__(self, **fields: Any) -> _ModelT_co:
        """Make one instance; fields not named take the builder's constant, else their default."""


def make_builder(model: type[_ModelT], /, **constants: Any) -> Builder[_ModelT]:
    """Return a function that makes instances of `model` from trusted fields, without validating or copying them.

    The result equals a validated instance: every field is present in declared order, the given ones and the constants
    count as set, and names that are no fields become extras. Nested models must be passed as instances.

    Args:
        model: The class to build; its fields must be known (it holds no unresolved forward reference).
        constants: Fields that all instances share, by attribute name. Never pass something mutable here.

    A chunk with one choice and one delta takes 2.1 us (2-core x86-64, Python 3.11, pydantic 2.14), by this on
    one line:

        python -m timeit -s "from llama_async._models import make_builder as b;
        from llama_async.types.chat import chat_completion_chunk as m;
        d = b(m.ChoiceDelta); c = b(m.Choice, index=0);
        k = b(m.ChatCompletionChunk, id='i', created=1, model='m', object='chat.completion.chunk')"
        "k(choices=[c(delta=d(content=' tok'))])"
    """
    defaults = {name: _default(field) for name, field in model.model_fields.items()}
    known = frozenset(defaults)
    if unknown := constants.keys() - known:
        raise TypeError(f"{model.__name__} has no field {min(unknown)!r}")
    mutable = {name for name, value in defaults.items() if isinstance(value, (list, dict, set))}
    if mutable:
        raise TypeError(f"{model.__name__}.{min(mutable)} has a mutable default, which instances would share")
    template = {**defaults, **constants}
    n_fields = len(template)
    new = object.__new__

    def build_one(**fields: Any) -> _ModelT:
        instance = new(model)
        content = {**template, **fields}
        if len(content) == n_fields:
            _set_extra(instance, {})
            _set_fields_set(instance, {*constants, *fields})
        else:
            _set_extra(instance, {name: content.pop(name) for name in fields if name not in known})
            _set_fields_set(instance, {*constants, *(known & fields.keys())})
        _set_dict(instance, content)
        _set_private(instance, None)
        return instance

    return build_one


def build(model: type[_ModelT], /, **fields: Any) -> _ModelT:
    """Make one instance of `model` from trusted fields without validation, as `make_builder` does."""
    instance: _ModelT = _plain_builder(model)(**fields)
    return instance


_plain_builder = cache(make_builder)


# -- construction from data of unknown quality -------------------------------------------------------------------------


def _default(field: FieldInfo) -> Any:
    value = field.get_default(call_default_factory=True)
    return None if value is PydanticUndefined else value


def construct_type(value: object, type_: Any) -> Any:
    """Give decoded JSON the shape of a type, as far as it has it; what does not fit stays as it is."""
    return _coerce(value, type_)


def _coerce(value: Any, annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> Any:
    """Give `value` the shape `annotation` asks for as far as it has it; what does not fit is returned unchanged."""
    original = annotation
    if isinstance(annotation, TypeAliasType):
        annotation = annotation.__value__
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
    origin = get_origin(annotation) or annotation
    args = get_args(annotation)

    if origin is Union or origin is types.UnionType:
        return _coerce_union(value, original, args, metadata)
    if origin is dict:
        if not isinstance(value, Mapping):
            return value
        item_type = args[1] if len(args) > 1 else object
        return {key: _coerce(item, item_type) for key, item in value.items()}
    if origin is list:
        if not isinstance(value, list):
            return value
        item_type = args[0] if args else object
        return [_coerce(item, item_type) for item in value]
    if inspect.isclass(origin) and issubclass(origin, BaseModel):
        if isinstance(value, list):
            return [_construct(origin, item) for item in value]
        return _construct(origin, value)
    if origin is float and isinstance(value, int):
        # Only where nothing is lost, so that a huge integer survives.
        return float(value) if float(value) == value else value
    if origin is datetime or origin is date:
        try:
            return _adapter(origin).validate_python(value)
        except pydantic.ValidationError:
            return value
    return value


def _construct(model: type[BaseModel], value: Any) -> Any:
    return model.construct(**value) if isinstance(value, Mapping) else value


def _coerce_union(value: Any, union: Any, variants: tuple[Any, ...], metadata: list[Any] | tuple[Any, ...]) -> Any:
    """Take the variant that validates, else the one its discriminator names, else the first."""
    try:
        return _adapter(union).validate_python(value)
    except (pydantic.ValidationError, pydantic.PydanticUserError):
        # The latter: a variant that pydantic has no schema for, which construction does not need.
        pass
    discriminator = next((item.discriminator for item in metadata if isinstance(item, PropertyInfo)), None)
    if discriminator is not None and isinstance(value, Mapping):
        for variant in variants:
            if value.get(discriminator) in _literals(variant, discriminator):
                return _coerce(value, variant)
    return _coerce(value, variants[0])


def _literals(variant: Any, field_name: str) -> tuple[Any, ...]:
    if not (inspect.isclass(variant) and issubclass(variant, BaseModel) and field_name in variant.model_fields):
        return ()
    annotation = variant.model_fields[field_name].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


@cache
def _adapter(type_: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(type_)

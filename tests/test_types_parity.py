"""`llama_async.types` against the pinned `openai` package, module by module and field by field.

Whatever is missing, differs, or is ours alone without a reason in one of the tables below, fails.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar, Union

import httpx
import httpx2
import openai
import openai._models
import openai._types
import openai.types
import pydantic
import pytest
import typing_extensions
from openai.resources import AsyncEmbeddings, AsyncModels, Embeddings, Models
from openai.resources.chat.completions import AsyncCompletions as AsyncChat
from openai.resources.chat.completions import Completions as Chat
from openai.resources.chat.completions.messages import AsyncMessages, Messages
from openai.resources.completions import AsyncCompletions, Completions

import llama_async._models
import llama_async._types
import llama_async.types

PINNED = "3.54.0"

# What of openai.types is ours: these packages with all their modules, and these modules of `types` itself.
PACKAGES = ("types.chat", "types.chat.completions", "types.shared", "types.shared_params")
TOP_MODULES = (
    "chat_model",
    "completion",
    "completion_choice",
    "completion_create_params",
    "completion_usage",
    "create_embedding_response",
    "embedding",
    "embedding_create_params",
    "embedding_model",
    "model",
    "model_deleted",
)
RESOURCES = (
    *(Chat, AsyncChat, Messages, AsyncMessages, Completions, AsyncCompletions),
    *(Embeddings, AsyncEmbeddings, Models, AsyncModels),
)

# Modules of ours that the reference has not, each with its reason.
OWN_MODULES = {
    "types.rerank_response": "`client.rerank`, which openai does not have",
    "types.local_params": "bodies of requests that openai's API does not have",
    "types.token_responses": "`client.tokenize` and its kin over HTTP, which openai does not have",
}

# Names that a module of ours has and the reference has not, each with its reason. None so far.
EXTRA_NAMES: dict[str, str] = {}
_ALIAS = "the reference's construct keeps a field with an alias a second time, as an extra under the alias; ours once"
CONSTRUCT_DIFFERS = {"JSONSchema": _ALIAS, "ResponseFormatJSONSchema": _ALIAS}
# Names reachable from the resources that are not types of an endpoint: `name: reason`.
NOT_TYPES = {
    "openai": "what it exports at its top level: sentinels (test_sentinels_and_aliases), streams, the base",
    "openai._streaming": "streams, not types",
    "openai.pagination": "pages, not types",
    "openai._base_client": "paginators, not types",
    "openai.lib": "helpers of .stream() and .parse(), not types",
    "openai._models": "the base, compared in test_base_has_the_same_methods",
}


def _submodules(package: str) -> list[str]:
    module = importlib.import_module(f"openai.{package}")
    return [f"{package}.{info.name}" for info in pkgutil.iter_modules(module.__path__) if not info.ispkg]


MODULES = [name for package in PACKAGES for name in _submodules(package)] + [f"types.{name}" for name in TOP_MODULES]


def _theirs(module: str) -> types.ModuleType:
    return importlib.import_module(f"openai.{module}")


def _ours(module: str) -> types.ModuleType:
    return importlib.import_module(f"llama_async.{module}")


def _source(module: types.ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def _public(module: types.ModuleType) -> dict[str, Any]:
    """Return what a module defines or exports; what it merely imports does not count."""
    names = set(module.__all__)
    for node in _source(module).body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name: getattr(module, name) for name in names if not name.startswith("_")}


def normalize(annotation: Any) -> Any:
    """Return a comparable shape of a type: package names and spelling (`Optional[X]`, `X | None`) do not count."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, TypeVar):
        return ("TypeVar", annotation.__name__, normalize(annotation.__bound__), annotation.__constraints__)
    origin, args = typing_extensions.get_origin(annotation), typing_extensions.get_args(annotation)
    if origin is Literal:
        # Sorted: typing caches Optional[Literal[...]] by the set of values, so the order depends on who came first.
        return ("Literal", *sorted(args, key=repr))
    if origin is Annotated:
        return ("Annotated", normalize(args[0]), *map(_normalize_metadata, args[1:]))
    if origin in (Union, types.UnionType):
        return ("Union", *map(normalize, args))
    if origin is not None:
        return (normalize(origin), *map(_normalize_argument, args))
    if inspect.isclass(annotation):
        return _normalize_class(annotation)
    return str(annotation)


def _normalize_argument(annotation: Any) -> Any:
    # Sorted as literals are: typing's cache takes list[int | str] for the list[str | int] that was there before.
    shape = normalize(annotation)
    return ("Union", *sorted(shape[1:], key=repr)) if isinstance(shape, tuple) and shape[0] == "Union" else shape


def _normalize_class(cls: type) -> Any:
    generic = getattr(cls, "__pydantic_generic_metadata__", None)
    if generic and generic["origin"] is not None:
        return (normalize(generic["origin"]), *map(normalize, generic["args"]))
    name = f"{cls.__module__}.{cls.__qualname__}"
    # The reference presents what it exports as members of its top level.
    for prefix in ("llama_async.", "openai._models.", "openai._types."):
        name = name.replace(prefix, "openai.")
    return name.replace("httpx2.", "httpx.")


def _normalize_metadata(item: Any) -> Any:
    """Annotated[...] metadata by class and what is set on it; openai's own has more attributes than are ever used."""
    names = getattr(type(item), "__slots__", None) or vars(item)
    return (type(item).__name__, {name: getattr(item, name) for name in names if getattr(item, name) is not None})


def _describe_model(cls: type[pydantic.BaseModel]) -> dict[str, Any]:
    return {
        "fields": [
            {
                "name": name,
                "annotation": normalize(field.annotation),
                "metadata": [_normalize_metadata(item) for item in field.metadata],
                "aliases": (field.alias, field.validation_alias, field.serialization_alias),
                "required": field.is_required(),
                "default": repr(field.get_default(call_default_factory=True)),
            }
            for name, field in cls.model_fields.items()
        ],
        "config": dict(cls.model_config),
        # The reference has an intermediate pydantic class for both pydantic versions, which says nothing.
        "bases": [_normalize_class(base) for base in cls.__mro__ if base.__module__ != "openai._compat"],
        "parameters": [normalize(item) for item in getattr(cls, "__parameters__", ())],
    }


def _describe_typed_dict(cls: Any) -> dict[str, Any]:
    hints = typing_extensions.get_type_hints(cls, include_extras=True)
    return {
        "keys": {name: normalize(hint) for name, hint in hints.items()},
        "order": list(hints),
        "required": sorted(cls.__required_keys__),
        "optional": sorted(cls.__optional_keys__),
        "total": cls.__total__,
        "bases": [getattr(base, "__name__", str(base)) for base in typing_extensions.get_original_bases(cls)],
    }


def describe(value: Any) -> Any:
    """Return what two definitions of a type must have in common."""
    if inspect.isclass(value) and issubclass(value, pydantic.BaseModel):
        return ("model", _describe_model(value))
    if typing_extensions.is_typeddict(value):
        return ("typed dict", _describe_typed_dict(value))
    return ("alias", normalize(value))


def _classes_in(annotation: Any) -> Iterator[type]:
    """Yield each class that an annotation mentions, at any depth."""
    if isinstance(annotation, (list, tuple)):
        for item in annotation:
            yield from _classes_in(item)
    elif args := typing_extensions.get_args(annotation):
        yield from _classes_in([typing_extensions.get_origin(annotation), *args])
    elif inspect.isclass(annotation):
        generic = getattr(annotation, "__pydantic_generic_metadata__", None)
        if generic and generic["origin"] is not None:
            yield from _classes_in([generic["origin"], *generic["args"]])
        else:
            yield annotation


def _mentioned_by(value: Any) -> Iterator[type]:
    if inspect.isclass(value) and issubclass(value, pydantic.BaseModel):
        yield from _classes_in([field.annotation for field in value.model_fields.values()])
    elif typing_extensions.is_typeddict(value):
        yield from _classes_in(list(typing_extensions.get_type_hints(value, include_extras=True).values()))
    else:
        yield from _classes_in(value)


def test_reference_is_the_pinned_version() -> None:
    assert openai.__version__ == PINNED


@pytest.mark.parametrize("name", MODULES)
def test_module_has_the_same_types(name: str) -> None:
    theirs, ours = _public(_theirs(name)), _public(_ours(name))
    assert ours.keys() - theirs.keys() <= EXTRA_NAMES.keys()
    assert theirs.keys() <= ours.keys()
    for key, value in theirs.items():
        assert describe(ours[key]) == describe(value), f"{name}.{key}"
    assert sorted(_ours(name).__all__) == sorted(_theirs(name).__all__)


def test_no_module_of_ours_is_unknown_to_the_reference() -> None:
    found = {
        info.name.removeprefix("llama_async.")
        for info in pkgutil.walk_packages(llama_async.types.__path__, "llama_async.types.")
    }
    assert found == {*MODULES, *PACKAGES, *OWN_MODULES}


def test_everything_reachable_is_here() -> None:
    """From the resources' signatures through all fields: no class of openai.types lies outside our modules."""
    todo: list[type] = []
    for resource in RESOURCES:
        for name, method in inspect.getmembers(resource, inspect.isfunction):
            if not name.startswith("_") and method.__module__.startswith("openai.resources"):
                todo += _classes_in(list(typing_extensions.get_type_hints(method, include_extras=True).values()))
    todo += [cls for name in MODULES for value in _public(_theirs(name)).values() for cls in _mentioned_by(value)]
    seen: set[type] = set()
    while todo:
        cls = todo.pop()
        if cls in seen or not cls.__module__.startswith("openai"):
            continue
        seen.add(cls)
        if cls.__module__.startswith("openai.types"):
            assert cls.__module__.removeprefix("openai.") in MODULES, cls
            todo += _mentioned_by(cls)
        else:
            assert any(
                cls.__module__ == name or (name != "openai" and cls.__module__.startswith(f"{name}."))
                for name in NOT_TYPES
            ), cls
    assert len(seen) > 100


def _imports(module: types.ModuleType) -> dict[str, str]:
    """Return name to module, absolute without the package, of the relative imports in a package's source."""
    package = module.__name__.split(".", 1)[1]
    return {
        alias.name: f"{package}.{node.module}"
        for node in ast.walk(_source(module))
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        for alias in node.names
    }


@pytest.mark.parametrize("package", ["types", *PACKAGES])
def test_package_exports_the_same_names(package: str) -> None:
    theirs = {
        name
        for name, module in _imports(_theirs(package)).items()
        if module in MODULES or (module in PACKAGES and module.startswith(f"{package}."))
    }
    ours = _ours(package)
    assert theirs == set(ours.__all__)
    # The imports that type checkers read are the table that runs.
    for name, module in _imports(ours).items():
        assert getattr(ours, name) is getattr(_ours(module), name)
    assert _imports(ours).keys() == theirs
    assert theirs <= set(dir(ours))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = ours.no_such_name


def test_submodules_are_attributes_without_an_import() -> None:
    for module in MODULES:
        parent, _, name = module.rpartition(".")
        value = getattr(_ours(parent), name)
        assert inspect.ismodule(value)
        assert value.__name__ == f"llama_async.{module}"


# -- base and sentinels ------------------------------------------------------------------------------------------------


def test_base_has_the_same_methods() -> None:
    theirs, ours = openai._models.BaseModel, llama_async._models.BaseModel
    public = {name for name in vars(theirs) if not name.startswith("_")}
    assert public - {"model_config"} == {name for name in vars(ours) if not name.startswith("_")} - {"model_config"}
    for name in public - {"model_config"}:
        expected, actual = (inspect.signature(getattr(cls, name)).parameters for cls in (theirs, ours))
        assert [(p.name, p.kind, p.default) for p in actual.values()] == [
            (p.name, p.kind, p.default) for p in expected.values()
        ]
    assert dict(ours.model_config) == dict(theirs.model_config)


def test_sentinels_and_aliases() -> None:
    theirs, ours = openai._types, llama_async._types
    for name in ("NOT_GIVEN", "not_given", "omit"):
        assert not getattr(ours, name)
        assert type(getattr(ours, name)).__name__ == type(getattr(theirs, name)).__name__
    assert len({id(ours.NOT_GIVEN), id(ours.not_given), id(ours.omit)}) == 3
    assert repr(ours.NOT_GIVEN) == repr(theirs.NOT_GIVEN) == repr(ours.not_given)
    for name in ("Headers", "Query", "Body", "NoneType", "Omittable"):
        assert normalize(getattr(ours, name)) == normalize(getattr(theirs, name)), name
    assert normalize(ours.SequenceNotStr[str]) == normalize(theirs.SequenceNotStr[str])
    assert ours.Timeout is httpx.Timeout
    assert vars(theirs)["Timeout"] is httpx2.Timeout


# -- round trips -------------------------------------------------------------------------------------------------------


def sample(annotation: Any, n_variant: int, *, full: bool) -> Any:
    """Return JSON data that fits `annotation`; `n_variant` picks the literal and the union member."""
    origin, args = typing_extensions.get_origin(annotation), typing_extensions.get_args(annotation)
    if origin is Literal:
        return args[n_variant % len(args)]
    if origin is Annotated:
        return sample(args[0], n_variant, full=full)
    if origin in (Union, types.UnionType):
        return sample(args[n_variant % len(args)], n_variant, full=full)
    if origin is list:
        return [sample(args[0], n_variant + i, full=full) for i in range(2)]
    if origin is dict:
        return {"key": sample(args[1], n_variant, full=full)}
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        data = {
            field.alias or name: sample(field.annotation, n_variant, full=full)
            for name, field in annotation.model_fields.items()
            if full or field.is_required()
        }
        return {**data, "unknown_field": {"kept": [1, None]}} if full else data
    plain = {str: f"text {n_variant} \u00e9", int: n_variant, float: 0.25, bool: True, object: {"any": [1, "x"]}}
    return None if annotation is type(None) else plain.get(annotation, {"parsed": n_variant})


MODELS = [
    (name, key)
    for name in MODULES
    for key, value in _public(_theirs(name)).items()
    if inspect.isclass(value) and issubclass(value, pydantic.BaseModel) and value.__module__ == f"openai.{name}"
]


def _assert_same(ours: Any, theirs: Any) -> None:
    for options in ({}, {"mode": "json"}, {"use_api_names": False}, {"exclude_unset": False}, {"exclude_none": True}):
        assert ours.to_dict(**options, warnings=False) == theirs.to_dict(**options, warnings=False)
    assert ours.to_json(warnings=False) == theirs.to_json(warnings=False)
    assert ours.to_json(indent=None, warnings=False) == theirs.to_json(indent=None, warnings=False)
    assert ours.model_dump(warnings=False) == theirs.model_dump(warnings=False)
    assert ours.model_dump_json(warnings=False) == theirs.model_dump_json(warnings=False)
    assert ours.model_fields_set == theirs.model_fields_set
    assert (str(ours), repr(ours)) == (str(theirs), repr(theirs))


@pytest.mark.parametrize(("module", "name"), MODELS)
@pytest.mark.parametrize("full", [True, False])
def test_round_trip_equals_the_reference(module: str, name: str, full: bool) -> None:
    ours, theirs = getattr(_ours(module), name), getattr(_theirs(module), name)
    for n_variant in range(4):
        data = sample(theirs, n_variant, full=full)
        text = json.dumps(data)
        _assert_same(ours.model_validate(data), theirs.model_validate(data))
        _assert_same(ours.model_validate_json(text), theirs.model_validate_json(text))
        assert ours.model_validate(data).to_dict() == data
        assert json.loads(ours.model_validate(data).to_json()) == data
        assert ours.model_validate(data).model_extra == theirs.model_validate(data).model_extra
        if name not in CONSTRUCT_DIFFERS:
            _assert_same(ours.construct(**data), theirs.construct(**data))


CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "local",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "logprobs": {
                "content": [{"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}],
                "refusal": None,
            },
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "reasoning_content": "thinking",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
                    {"id": "call_2", "type": "custom", "custom": {"name": "g", "input": "text"}},
                ],
            },
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    "timings": {"predicted_ms": 1.5},
}


def test_chat_completion_sample_keeps_classes_and_extras() -> None:
    for make in ("model_validate", "construct"):
        pair = [
            cls.model_validate(CHAT) if make == "model_validate" else cls.construct(**CHAT)
            for cls in (llama_async.types.chat.ChatCompletion, openai.types.chat.ChatCompletion)
        ]
        _assert_same(*pair)
        ours: Any = pair[0]
        message = ours.choices[0].message
        assert ours.to_dict() == CHAT
        assert message.reasoning_content == "thinking"
        assert ours.timings == {"predicted_ms": 1.5}
        assert [type(call).__name__ for call in message.tool_calls] == [
            "ChatCompletionMessageFunctionToolCall",
            "ChatCompletionMessageCustomToolCall",
        ]


# What a strict reading would refuse: wrong types, missing fields, unknown variants, nulls.
MISFITS: list[tuple[str, str, dict[str, Any]]] = [
    ("types.chat", "ChatCompletion", {}),
    ("types.chat", "ChatCompletion", {"id": 5, "choices": "none", "usage": [1, 2]}),
    ("types.chat", "ChatCompletion", {"choices": [{"message": None}, 7, {"message": {"tool_calls": [{"type": "?"}]}}]}),
    ("types.chat", "ChatCompletion", {"choices": [{"message": {"tool_calls": [{"type": "custom", "custom": "?"}]}}]}),
    ("types.chat", "ChatCompletion", {"choices": [{"message": {"tool_calls": [{"id": 1, "function": {"name": 2}}]}}]}),
    (
        "types.chat",
        "ChatCompletion",
        {"moderation": {"input": {"type": "error", "code": 1}, "output": {"type": "new"}}},
    ),
    ("types.chat", "ChatCompletionChunk", {"choices": {"index": 0}, "cls": 1, "self": 2, "model_fields": 3}),
    ("types.chat", "ChatCompletionTokenLogprob", {"token": "a", "logprob": 1, "bytes": "no", "top_logprobs": [None]}),
    ("types.chat", "ParsedChatCompletion", {"choices": [{"message": {"parsed": {"a": 1}, "tool_calls": [{"id": 1}]}}]}),
    ("types", "Embedding", {"embedding": [1, 2**60 + 1, "x"], "index": None}),
    ("types", "CreateEmbeddingResponse", {"data": [{"embedding": "base64"}], "usage": []}),
]


@pytest.mark.parametrize(("package", "name", "data"), MISFITS)
def test_construct_is_as_tolerant_as_the_reference(package: str, name: str, data: dict[str, Any]) -> None:
    ours, theirs = getattr(_ours(package), name), getattr(_theirs(package), name)
    for method in ("construct", "model_construct"):
        _assert_same(getattr(ours, method)(**data), getattr(theirs, method)(**data))


@pytest.mark.parametrize("package", ["types.chat", "types"])
def test_direct_construction_validates(package: str) -> None:
    name = {"types.chat": "ChatCompletion", "types": "Embedding"}[package]
    for module in (_ours(package), _theirs(package)):
        with pytest.raises(pydantic.ValidationError):
            getattr(module, name)(object="something else")

"""What can be called and caught here, against the pinned `openai` package: clients, resources, streams, pages, errors.

Walks both packages. Whatever is missing, differs, or is ours alone without a reason in one of the tables below, fails;
so does an entry of a table that says nothing any more. Types have a test of their own (test_types_parity).
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import openai
import pydantic
import pytest
import typing_extensions

import llama_async

# -- tables: name -> reason

_ENDPOINT = "an endpoint that is not here"
_HTTP = "there is no HTTP between client and engine"
_SERVICE = "an account with the service"

# Of `openai.__all__` and of its clients' attributes.
NOT_HERE = {
    # module level
    "AsyncBedrockOpenAI": _SERVICE,
    "AsyncComputerDriver": _ENDPOINT,
    "AsyncComputerToolset": _ENDPOINT,
    "BedrockOpenAI": _SERVICE,
    "ComputerDriver": _ENDPOINT,
    "ComputerToolset": _ENDPOINT,
    "DEFAULT_CONNECTION_LIMITS": _HTTP,
    "DEFAULT_MAX_RETRIES": _HTTP,
    "DEFAULT_TIMEOUT": _HTTP,
    "DataResidency": _SERVICE,
    "DefaultAioHttpClient": _HTTP,
    "DefaultAsyncHttpx2Client": _HTTP,
    "DefaultAsyncHttpxClient": _HTTP,
    "DefaultHttpx2Client": _HTTP,
    "DefaultHttpxClient": _HTTP,
    "InvalidWebhookSignatureError": _ENDPOINT,
    "OAuthError": _SERVICE,
    "ProxiesTypes": _HTTP,
    "ReconnectingEvent": _ENDPOINT,
    "ReconnectingOverrides": _ENDPOINT,
    "RequestOptions": _HTTP,
    "Transport": _HTTP,
    "WebSocketConnectionClosedError": _ENDPOINT,
    "WebSocketQueueFullError": _ENDPOINT,
    "__title__": "the reference's own name",
    "file_from_path": _ENDPOINT,
    # clients
    "admin": _SERVICE,
    "admin_api_key": _SERVICE,
    "audio": _ENDPOINT,
    "auth_headers": _SERVICE,
    "batches": _ENDPOINT,
    "beta": _ENDPOINT,
    "containers": _ENDPOINT,
    "content_provenance_checks": _ENDPOINT,
    "conversations": _ENDPOINT,
    "custom_auth": _HTTP,
    "decisions": _ENDPOINT,
    "delete": _HTTP,
    "evals": _ENDPOINT,
    "files": _ENDPOINT,
    "fine_tuning": _ENDPOINT,
    "get": _HTTP,
    "get_api_list": _HTTP,
    "images": _ENDPOINT,
    "live": _ENDPOINT,
    "moderations": _ENDPOINT,
    "patch": _HTTP,
    "platform_headers": _HTTP,
    "post": _HTTP,
    "put": _HTTP,
    "qs": _HTTP,
    "realtime": _ENDPOINT,
    "request": _HTTP,
    "responses": _ENDPOINT,
    "safety": _ENDPOINT,
    "skills": _ENDPOINT,
    "uploads": _ENDPOINT,
    "user_agent": _HTTP,
    "vector_stores": _ENDPOINT,
    "videos": _ENDPOINT,
    "webhook_secret": _SERVICE,
    "webhooks": _ENDPOINT,
    "websocket_base_url": _HTTP,
    "workload_identity": _SERVICE,
}

# Names of ours that the reference has not.
OURS_ALONE = {
    # module level
    "AsyncLlama": "stands for AsyncOpenAI",
    "ClientClosedError": "an APIConnectionError for which the reference raises a bare RuntimeError",
    "DownloadError": "there is a model to fetch",
    "Llama": "stands for OpenAI",
    "EventLoopError": "an engine belongs to a loop, an HTTP client does not",
    "ForkedError": "an engine has threads, which do not survive a fork",
    "ModelLoadError": "there is a model to load",
    "ModelStats": "there is an engine to look at",
    "OptionError": "there is an engine to set up",
    "StoreError": "stored completions are here",
    "StreamClosedError": "an OpenAIError for which the reference raises httpx2's",
    # clients
    "aclose": "anyio's and httpx's name for close",
    "apply_template": "there is a template to look at",
    "as_openai": "a real openai client where one must be had",
    "count_tokens": "there is a tokenizer",
    "detokenize": "there is a tokenizer",
    "from_pretrained": "there is a model to fetch",
    "load": "there is a model to load",
    "rerank": "an endpoint of others, in the same style",
    "stats": "there is an engine to look at",
    "tokenize": "there is a tokenizer",
    "unload": "there are models to unload",
}

# Classes that are not reached from a client, and the modules they are in there and here.
CLASSES = {
    "AsyncStream": ("openai", "llama_async"),
    "Stream": ("openai", "llama_async"),
    "AsyncPage": ("openai.pagination", "llama_async.pagination"),
    "AsyncCursorPage": ("openai.pagination", "llama_async.pagination"),
    "SyncPage": ("openai.pagination", "llama_async.pagination"),
    "SyncCursorPage": ("openai.pagination", "llama_async.pagination"),
    "AsyncPaginator": ("openai._base_client", "llama_async.pagination"),
    "AsyncAPIResponse": ("openai._response", "llama_async._response"),
    "APIResponse": ("openai._response", "llama_async._response"),
    "AsyncChatCompletionStream": ("openai.lib.streaming.chat", "llama_async.lib.streaming.chat"),
    "AsyncChatCompletionStreamManager": ("openai.lib.streaming.chat", "llama_async.lib.streaming.chat"),
    "ChatCompletionStream": ("openai.lib.streaming.chat", "llama_async.lib.streaming.chat"),
    "ChatCompletionStreamManager": ("openai.lib.streaming.chat", "llama_async.lib.streaming.chat"),
    "ChatCompletionStreamState": ("openai.lib.streaming.chat", "llama_async.lib.streaming.chat"),
}

RESOURCES = ("chat", "chat.completions", "chat.completions.messages", "completions", "embeddings", "models")
VIEWS = ("", "with_raw_response", "with_streaming_response")
CLIENTS = {"AsyncLlama": "AsyncOpenAI", "Llama": "OpenAI"}


# -- walking


def public(thing: object) -> set[str]:
    """Names without underscore, and the protocols that a user relies on."""
    protocols = ("__aiter__", "__anext__", "__iter__", "__next__", "__aenter__", "__aexit__", "__enter__", "__exit__")
    names = {name for name in dir(thing) if not name.startswith("_") or name in (*protocols, "__await__")}
    if inspect.isclass(thing):
        for base in thing.__mro__:
            names |= {name for name in inspect.get_annotations(base) if not name.startswith("_")}
        if issubclass(thing, pydantic.BaseModel):
            names -= set(dir(pydantic.BaseModel)) | set(inspect.get_annotations(pydantic.BaseModel))
    return names


def annotation(text: object) -> object:
    """A comparable shape of an annotation's text: unions are sets, names count without their modules."""
    if not isinstance(text, str):
        text = inspect.formatannotation(text)

    def shape(node: ast.expr) -> object:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return union([node.left, node.right])
        if isinstance(node, ast.Subscript):
            head = shape(node.value)
            items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if head == "Union":
                return union(items)
            if head == "Optional":
                return union([*items, ast.Constant(None)])
            if head == "Literal":
                return ("Literal", frozenset(item.value for item in items if isinstance(item, ast.Constant)))
            return (SPELLINGS.get(str(head), head), *map(shape, items))
        if isinstance(node, ast.Attribute):
            return SPELLINGS.get(node.attr, node.attr)
        if isinstance(node, ast.Name):
            return SPELLINGS.get(node.id, node.id)
        if isinstance(node, ast.Constant):
            return shape(ast.parse(node.value, mode="eval").body) if isinstance(node.value, str) else repr(node.value)
        return ast.dump(node)

    def union(nodes: list[ast.expr]) -> object:
        members: set[object] = set()
        for node in nodes:
            member = shape(node)
            members |= member if isinstance(member, frozenset) else {member}
        literals = {member for member in members if isinstance(member, tuple) and member[0] == "Literal"}
        if literals:
            members = members - literals | {("Literal", frozenset().union(*(literal[1] for literal in literals)))}
        return frozenset(members)

    return shape(ast.parse(text, mode="eval").body)


# Spellings of the same -> one name for both.
SPELLINGS = {
    "Dict": "dict",
    "List": "list",
    "Tuple": "tuple",
    "Type": "type",
    "NoneType": "None",
    # Type variables.
    "AsyncPageT": "Self",
    "SyncPageT": "Self",
    "_R": "R",
}


def signature(function: Any) -> dict[str, tuple[object, ...]]:
    """Name -> kind, default and annotation of each parameter."""

    def default(value: object) -> object:
        if value is inspect.Parameter.empty:
            return "required"
        return type(value).__name__ if type(value).__name__ in ("Omit", "NotGiven") else repr(value)

    return {
        name: (parameter.kind.name, default(parameter.default), annotation_of(parameter))
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    }


def annotation_of(parameter: inspect.Parameter) -> object:
    return None if parameter.annotation is inspect.Parameter.empty else annotation(parameter.annotation)


def result_of(function: Any) -> object:
    result = inspect.signature(function).return_annotation
    return None if result is inspect.Signature.empty else annotation(result)


def resolve(root: object, path: str) -> Any:
    for name in filter(None, path.split(".")):
        root = getattr(root, name)
    return root


@pytest.fixture(scope="module")
def clients() -> dict[str, Any]:
    """One of each class, ours and theirs, by name."""
    made = {name: getattr(openai, name)(api_key="none") for name in CLIENTS.values()}
    made |= {name: getattr(llama_async, name)("no-such-model.gguf") for name in CLIENTS}
    return made


# -- module level


def test_exports() -> None:
    theirs, ours = set(openai.__all__), set(llama_async.__all__)
    assert theirs - ours - NOT_HERE.keys() - set(CLIENTS.values()) == set()
    assert ours - theirs - OURS_ALONE.keys() == set()


def test_other_names_of_a_class_are_other_names_here() -> None:
    assert openai.AsyncClient is openai.AsyncOpenAI
    assert llama_async.AsyncClient is llama_async.AsyncLlama
    assert openai.Client is openai.OpenAI
    assert llama_async.Client is llama_async.Llama


def test_sentinels_and_types_are_of_the_same_kind() -> None:
    for name in set(openai.__all__) & set(llama_async.__all__):
        theirs, ours = getattr(openai, name), getattr(llama_async, name)
        assert inspect.isclass(ours) == inspect.isclass(theirs), name
        assert inspect.ismodule(ours) == inspect.ismodule(theirs), name


def test_tables_say_nothing_that_is_not_so(clients: dict[str, Any]) -> None:
    theirs = {*openai.__all__, *public(openai.AsyncOpenAI(api_key="none"))}
    ours = {*llama_async.__all__, *public(clients["AsyncLlama"])}
    assert {name for name in NOT_HERE if name not in theirs} == set()
    assert {name for name in NOT_HERE if name in ours} == set()
    assert {name for name in OURS_ALONE if name in theirs} == set()
    assert {name for name in OURS_ALONE if name not in ours} == set()


# -- exceptions

ERRORS = [
    name
    for name in openai.__all__
    if inspect.isclass(getattr(openai, name)) and issubclass(getattr(openai, name), Exception) and name not in NOT_HERE
]


def bases(cls: type) -> list[str]:
    return [base.__name__ for base in cls.__mro__ if not base.__name__.startswith("_")]


def attributes(cls: type) -> set[str]:
    """What instances have: annotations and properties of the class and of its bases."""
    names = set()
    for base in cls.__mro__:
        names |= {name for name in inspect.get_annotations(base) if not name.startswith("_")}
        names |= {name for name, value in vars(base).items() if isinstance(value, property)}
    return names


@pytest.mark.parametrize("name", ERRORS)
def test_exception(name: str) -> None:
    theirs, ours = getattr(openai, name), getattr(llama_async, name)
    assert bases(ours) == bases(theirs)
    assert attributes(ours) == attributes(theirs)
    # httpx2 there, httpx here; and there is no response to be had before somebody looks at it.
    assert list(signature(ours.__init__)) == list(signature(theirs.__init__))
    assert getattr(ours, "status_code", None) == getattr(theirs, "status_code", None)


# -- clients and resources


@pytest.mark.parametrize("name", CLIENTS)
def test_client(name: str, clients: dict[str, Any]) -> None:
    theirs, ours = public(clients[CLIENTS[name]]), public(clients[name])
    assert theirs - ours - NOT_HERE.keys() == set()
    assert ours - theirs - OURS_ALONE.keys() == set()
    # What `copy` takes stands with the constructor's arguments, in docs/compatibility.md.
    for method in sorted(theirs & ours - {"copy", "with_options"}):
        left, right = getattr(clients[CLIENTS[name]], method), getattr(clients[name], method)
        if inspect.ismethod(left) and not method.startswith("__"):
            compare_functions(left, right, f"{name}.{method}")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("name", CLIENTS)
def test_resource(name: str, resource: str, view: str, clients: dict[str, Any]) -> None:
    path = ".".join(filter(None, (resource, view)))
    theirs, ours = resolve(clients[CLIENTS[name]], path), resolve(clients[name], path)
    compare(theirs, ours, path)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="typing does not remember overloads before 3.11")
@pytest.mark.parametrize("path", ["chat.completions.create", "completions.create"])
@pytest.mark.parametrize("name", CLIENTS)
def test_overloads(name: str, path: str, clients: dict[str, Any]) -> None:
    def overloads(client: str) -> list[Any]:
        method = inspect.unwrap(resolve(clients[client], path))
        return [
            (signature(one), result_of(one))
            for one in typing_extensions.get_overloads(getattr(method, "__func__", method))
        ]

    assert len(overloads(CLIENTS[name])) == 3
    assert overloads(name) == overloads(CLIENTS[name])


@pytest.mark.parametrize("view", VIEWS[1:])
@pytest.mark.parametrize("name", CLIENTS)
def test_views_of_a_client(name: str, view: str, clients: dict[str, Any]) -> None:
    theirs, ours = getattr(clients[CLIENTS[name]], view), getattr(clients[name], view)
    assert public(theirs) - public(ours) - NOT_HERE.keys() == set()
    assert public(ours) - public(theirs) - OURS_ALONE.keys() == set()
    for resource in RESOURCES:
        compare(resolve(theirs, resource), resolve(ours, resource), f"{view}.{resource}")


@pytest.mark.parametrize("name", CLASSES)
def test_class(name: str) -> None:
    there, here = CLASSES[name]
    theirs, ours = getattr(importlib.import_module(there), name), getattr(importlib.import_module(here), name)
    compare(theirs, ours, name)


def compare(theirs: object, ours: object, path: str) -> None:
    """Compare the public names of two objects, and the signatures of what can be called."""
    assert public(ours) == public(theirs), path
    for name in sorted(public(theirs) & public(ours)):
        left, right = getattr(theirs, name, None), getattr(ours, name, None)
        assert inspect.isroutine(right) == inspect.isroutine(left), f"{path}.{name}"
        # What an operator passes has a place, not a name.
        if inspect.isroutine(left) and not name.startswith("__"):
            compare_functions(left, right, f"{path}.{name}")


def compare_functions(theirs: Any, ours: Any, path: str) -> None:
    left, right = signature(theirs), signature(ours)
    assert list(right) == list(left), path
    assert result_of(ours) == result_of(theirs), path
    for name in left:
        assert right[name] == left[name], f"{path}({name})"


def test_the_reference_is_the_pinned_version() -> None:
    pinned = [
        line.strip(' ",').partition('"')[0]
        for line in (Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8").splitlines()
        if line.strip().startswith('"openai==')
    ]
    assert pinned == [f"openai=={openai.__version__}"]

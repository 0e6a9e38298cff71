"""The routes of openai's HTTP API over a client's resources: a request's bytes in, a reply's bytes out.

Knows methods, paths, queries and JSON; neither sockets nor an HTTP library, nor what the parameters mean: a body
becomes the keyword arguments of the resource's own method, so that HTTP and Python callers are told the same.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ._errors import APIConnectionError, OpenAIError, bad_request, new_request_id, route_error, shown
from ._models import BaseModel, build
from ._stream import AsyncStream
from ._types import not_given
from ._wire import ErrorReply, EventStream, error_reply, json_body
from .types.token_responses import ApplyTemplateResponse, DetokenizeResponse, TokenizeResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._client import AsyncLlama
    from ._types import NotGiven

__all__ = ["HTTPReply", "HTTPRequest", "LookAt", "Router"]

# Looks at a body's parameters; raises what they are refused with.
LookAt = Callable[[Mapping[str, Any]], None]

# Parameters of the methods that are about the call, not the request: no body may set them.
_NOT_IN_BODY = frozenset({"extra_headers", "extra_query", "extra_body", "timeout"})


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """A request.

    Attributes:
        method: In upper case.
        path: As it came, percent-encoded, without the query; `/v1` in front or not.
        query: The query's names and values, decoded.
        body: All of it.
        timeout: Seconds for the answer, an `httpx.Timeout` of any httpx, `None`, or the client's own.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    timeout: float | NotGiven | None = not_given


@dataclass(frozen=True, slots=True)
class HTTPReply:
    """A reply. Whoever does not read an EventStream to its end must close it."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes | EventStream


@dataclass(frozen=True, slots=True)
class _Route:
    """Where a request goes.

    Attributes:
        resource: Attributes that lead from the client to the resource.
        method: Its method.
        path_parameter: What the path's variable part is called there.
        query: The query's parameters and how each is read.
        has_body: Whether the body has parameters.
        names: What parameters of the body are called there, where other servers' names for them are usual.
        result: Makes the reply's object of a result that is none.
    """

    resource: tuple[str, ...]
    method: str
    path_parameter: str | None = None
    query: Mapping[str, Callable[[str, str], object]] = field(default_factory=dict)
    has_body: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    result: Callable[[Any], BaseModel] | None = None


def _text(_name: str, value: str) -> str:
    return value


def _integer(name: str, value: str) -> int:
    # Longer ones are no limit of anything; and Python refuses to convert them.
    if not value.removeprefix("-").isdecimal() or len(value) > 20:
        raise bad_request(name, f"{name} is {shown(value)}, but must be an integer")
    return int(value)


def _tokens(result: Any) -> BaseModel:
    return build(TokenizeResponse, tokens=result)


def _content(result: Any) -> BaseModel:
    return build(DetokenizeResponse, content=result)


def _prompt(result: Any) -> BaseModel:
    return build(ApplyTemplateResponse, prompt=result)


_PAGE: Mapping[str, Callable[[str, str], object]] = {"after": _text, "limit": _integer, "order": _text}
_CHAT = ("chat", "completions")
# By the path's parts, `*` for one that varies, then by method.
_ROUTES: Mapping[tuple[str, ...], Mapping[str, _Route]] = {
    ("chat", "completions"): {
        "POST": _Route(_CHAT, "create", has_body=True),
        "GET": _Route(_CHAT, "list", query={**_PAGE, "model": _text, "metadata": _text}),
    },
    ("chat", "completions", "*"): {
        "GET": _Route(_CHAT, "retrieve", "completion_id"),
        "POST": _Route(_CHAT, "update", "completion_id", has_body=True),
        "DELETE": _Route(_CHAT, "delete", "completion_id"),
    },
    ("chat", "completions", "*", "messages"): {
        "GET": _Route((*_CHAT, "messages"), "list", "completion_id", query=_PAGE),
    },
    ("completions",): {"POST": _Route(("completions",), "create", has_body=True)},
    ("embeddings",): {"POST": _Route(("embeddings",), "create", has_body=True)},
    # openai has none of these four; paths and shapes are those of llama-server.
    ("rerank",): {"POST": _Route(("rerank",), "__call__", has_body=True)},
    ("tokenize",): {
        "POST": _Route(("tokenize",), "__call__", has_body=True, names={"content": "text"}, result=_tokens),
    },
    ("detokenize",): {"POST": _Route(("detokenize",), "__call__", has_body=True, result=_content)},
    ("apply-template",): {"POST": _Route(("apply_template",), "__call__", has_body=True, result=_prompt)},
    ("models",): {"GET": _Route(("models",), "list")},
    ("models", "*"): {
        "GET": _Route(("models",), "retrieve", "model"),
        "DELETE": _Route(("models",), "delete", "model"),
    },
}


class Router:
    """Answers requests with a client.

    Args:
        client: Whose resources answer. It stays the caller's to close.
    """

    def __init__(self, client: AsyncLlama) -> None:
        self._client = client

    async def handle(self, request: HTTPRequest, look_at: LookAt | None = None) -> HTTPReply:
        """Answer a request. Cancelling the calling task ends the work.

        Args:
            request: The request.
            look_at: Called with the parameters of the body, by the names they came under, before any work begins;
                what it raises is answered.

        Returns:
            The reply, also for what is refused or fails.

        Raises:
            APIConnectionError: A timeout passed, or the client is or was closed. `_wire.error_reply` has a reply for
                who can give no better one.
        """
        started = time.perf_counter()
        try:
            result = await self._call(request, look_at)
            headers, body = _encoded(result)
            status_code = 200
        except APIConnectionError:
            raise
        except OpenAIError as error:
            status_code, error_headers, body = self.error_reply(error)
            headers = dict(error_headers)
        if isinstance(body, bytes):
            headers["content-length"] = str(len(body))
        # Of a stream: until its first token.
        headers["openai-processing-ms"] = str(round(1e3 * (time.perf_counter() - started)))
        return HTTPReply(status_code, headers, body)

    def error_reply(self, error: OpenAIError) -> ErrorReply:
        """Return the reply for an error. Whoever talks to strangers overrides this: texts name files."""
        return error_reply(error)

    async def _call(self, request: HTTPRequest, look_at: LookAt | None) -> object:
        route, variable = _find(request)
        method: Any = self._client
        for name in (*route.resource, route.method):
            method = getattr(method, name)
        arguments: dict[str, Any] = {}
        if route.path_parameter is not None:
            arguments[route.path_parameter] = variable
        arguments |= _query_arguments(route, request.query)
        if route.has_body:
            values = _parsed(request.body)
            if look_at is not None:
                look_at(values)
            arguments |= _body_arguments(route, method, values, arguments)
        result = await method(**arguments, timeout=request.timeout)
        return result if route.result is None else route.result(result)


def _find(request: HTTPRequest) -> tuple[_Route, str | None]:
    parts = request.path.removeprefix("/v1").removeprefix("/").split("/")
    for pattern, methods in _ROUTES.items():
        if len(pattern) != len(parts) or any(
            part != expected if expected != "*" else not part for part, expected in zip(parts, pattern, strict=True)
        ):
            continue
        if request.method not in methods:
            raise route_error(request.method, request.path, tuple(methods))
        variable = unquote(parts[pattern.index("*")]) if "*" in pattern else None
        return methods[request.method], variable
    raise route_error(request.method, request.path)


def _query_arguments(route: _Route, query: Sequence[tuple[str, str]]) -> dict[str, object]:
    arguments: dict[str, object] = {}
    for name, value in query:
        # openai's clients write a mapping as name[key]=value.
        outer, bracket, key = name.partition("[")
        if outer == "metadata" and outer in route.query and bracket and key.endswith("]"):
            arguments.setdefault(outer, {})[key[:-1]] = value  # type: ignore[index]
        elif name in route.query and name != "metadata":
            arguments[name] = route.query[name](name, value)
        else:
            raise bad_request(shown(name).strip("'"), f"the query has an unknown parameter {shown(name)}")
    return arguments


def _body_arguments(
    route: _Route, method: Any, values: Mapping[str, Any], path_arguments: Mapping[str, object]
) -> dict[str, Any]:
    known, required, takes_extra = _parameters(method.__func__)
    arguments: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for given, value in values.items():
        name = route.names.get(given, given)
        if name != given and name in values:
            raise bad_request(name, f"{name} is given twice, also as {given}")
        (arguments if name in known and name not in path_arguments else extra)[name] = value
    for name in required:
        if name not in arguments and name not in path_arguments:
            raise bad_request(name, f"{name} is missing")
    if extra:
        if not takes_extra:
            name = next(iter(extra))
            raise bad_request(shown(name).strip("'"), f"unknown parameter {shown(name)}")
        # The engine's own parameters; the method refuses what is none.
        arguments["extra_body"] = extra
    return arguments


@cache
def _parameters(function: Callable[..., object]) -> tuple[frozenset[str], tuple[str, ...], bool]:
    """Return the names a body may set, those of them that it must, and whether the function takes an extra_body."""
    signature = inspect.signature(function).parameters
    parameters = [parameter for name, parameter in signature.items() if name != "self" and name not in _NOT_IN_BODY]
    required = tuple(parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty)
    return frozenset(parameter.name for parameter in parameters), required, "extra_body" in signature


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode()
        values = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise bad_request("", "the body is nested too deep") from None
    except ValueError as error:  # among its kinds: not UTF-8, not JSON, an integer of thousands of digits
        raise bad_request("", f"the body is not JSON: {shown(str(error), 200)[1:-1]}") from None
    if "\\ud" in text.lower() and not _is_unicode(values):
        raise bad_request("", "the body has a lone surrogate, which is no character")
    if not isinstance(values, dict):
        raise bad_request("", f"the body is {shown(values)}, but must be a JSON object")
    return values


def _is_unicode(values: object) -> bool:
    # An answer may repeat them (the model's name), and no reply can be written with them.
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def _encoded(result: object) -> tuple[dict[str, str], bytes | EventStream]:
    headers = {"x-request-id": getattr(result, "_request_id", None) or new_request_id()}
    if isinstance(result, AsyncStream):
        return {**headers, "content-type": "text/event-stream; charset=utf-8"}, EventStream(result)
    assert isinstance(result, BaseModel)
    return {**headers, "content-type": "application/json"}, json_body(result)

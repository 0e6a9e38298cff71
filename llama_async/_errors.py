"""Every exception that leaves the package, and the one function that turns a native status into one of them.

The tree, names, bases, attributes and texts are those of openai 3.54.0, so code that catches `openai`'s errors catches
ours after its import line changed. There is no HTTP here: `request` and `response` are httpx objects made when somebody
looks at them, since building them costs more than most requests' whole bookkeeping.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ._abi import Status

if TYPE_CHECKING:
    import httpx

    from .types.chat import ChatCompletion

__all__ = [
    "BASE_URL",
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "ClientClosedError",
    "ConflictError",
    "ContentFilterFinishReasonError",
    "DownloadError",
    "EventLoopError",
    "ForkedError",
    "InternalServerError",
    "LengthFinishReasonError",
    "ModelLoadError",
    "NotFoundError",
    "OpenAIError",
    "OptionError",
    "PermissionDeniedError",
    "RateLimitError",
    "StoreError",
    "StreamClosedError",
    "UnprocessableEntityError",
    "authentication_error",
    "bad_request",
    "completion_not_found",
    "error_from_status",
    "internal_error",
    "model_not_found",
    "new_request_id",
    "not_available",
    "permission_denied",
    "route_error",
    "shown",
    "too_large",
    "too_many",
    "too_slow",
]

# Where requests would go if there were HTTP; nothing answers there.
BASE_URL = "http://llama-async.invalid/v1"


DownloadErrorCode = Literal[
    "network",
    "offline",
    "unauthorized",
    "forbidden",
    "not_found",
    "corrupt",
    "no_space",
    "server",
    "cache",
    "cancelled",
]


class Reply:
    """The error reply an HTTP server would have sent: enough to make an `httpx.Response` from, without httpx."""

    __slots__ = ("body", "headers", "status_code")

    def __init__(self, status_code: int, body: Mapping[str, object], headers: Mapping[str, str]) -> None:
        self.status_code = status_code
        self.body = body
        self.headers = headers


class OpenAIError(Exception):
    """Base of every error of this package, under the name code written against `openai` catches."""


class APIError(OpenAIError):
    """A request failed. In the middle of a stream this class itself is raised."""

    message: str
    body: object | None
    """The inner `error` object: `message`, `type`, `param`, `code`; `None` where there is none."""

    code: str | None = None
    param: str | None = None
    type: str | None

    def __init__(self, message: str, request: httpx.Request | None, *, body: object | None) -> None:
        super().__init__(message)
        self._request = request
        self.message = message
        self.body = body
        fields: Mapping[Any, Any] = body if isinstance(body, Mapping) else {}
        code = fields.get("code")
        self.code = None if code is None else str(code)
        self.param = fields.get("param")
        self.type = fields.get("type")

    @property
    def request(self) -> httpx.Request:
        """The request as an HTTP client would have sent it (method and URL only)."""
        if self._request is None:
            import httpx

            self._request = httpx.Request("POST", f"{BASE_URL}/chat/completions")
        return self._request

    @request.setter
    def request(self, request: httpx.Request) -> None:
        self._request = request


class _HasResponse(APIError):
    _response: httpx.Response | Reply
    status_code: int

    @property
    def response(self) -> httpx.Response:
        """The reply as an HTTP client would have seen it."""
        if isinstance(self._response, Reply):
            import httpx

            reply = self._response
            self._response = httpx.Response(
                reply.status_code, json=reply.body, headers=dict(reply.headers), request=self.request
            )
        return self._response

    @response.setter
    def response(self, response: httpx.Response) -> None:
        self._response = response


class APIResponseValidationError(_HasResponse):
    """A result does not fit its type; this package raises it nowhere."""

    def __init__(self, response: httpx.Response | Reply, body: object | None, *, message: str | None = None) -> None:
        request = None if isinstance(response, Reply) else response.request
        super().__init__(message or "Data returned by API invalid for expected schema.", request, body=body)
        self._response = response
        self.status_code = response.status_code


class APIStatusError(_HasResponse):
    """A request was refused or failed; `status_code` is what an HTTP server would have answered."""

    request_id: str | None

    def __init__(self, message: str, *, response: httpx.Response | Reply, body: object | None) -> None:
        super().__init__(message, None if isinstance(response, Reply) else response.request, body=body)
        self._response = response
        self.status_code = response.status_code
        self.request_id = response.headers.get("x-request-id")


class APIConnectionError(APIError):
    """The request did not reach its end: the client was closed, or the request was cancelled from elsewhere."""

    def __init__(self, *, message: str = "Connection error.", request: httpx.Request | None) -> None:
        super().__init__(message, request, body=None)


class APITimeoutError(APIConnectionError):
    """`timeout` passed; the work is cancelled."""

    def __init__(self, request: httpx.Request | None) -> None:
        super().__init__(message="Request timed out.", request=request)


class BadRequestError(APIStatusError):
    """A parameter has a wrong type, range or combination; `param` names it."""

    status_code: Literal[400] = 400


class AuthenticationError(APIStatusError):
    """A server's answer to a request without a key; a client never raises it."""

    status_code: Literal[401] = 401


class PermissionDeniedError(APIStatusError):
    """A server's answer to a request from where it takes none; a client never raises it."""

    status_code: Literal[403] = 403


class NotFoundError(APIStatusError):
    """No such model, or no such stored completion."""

    status_code: Literal[404] = 404


class ConflictError(APIStatusError):
    """Never raised here; present so that code which catches it keeps working."""

    status_code: Literal[409] = 409


class UnprocessableEntityError(APIStatusError):
    """Never raised here; present so that code which catches it keeps working."""

    status_code: Literal[422] = 422


class RateLimitError(APIStatusError):
    """The queue is full; `response.headers["retry-after"]` has seconds to wait."""

    status_code: Literal[429] = 429


class InternalServerError(APIStatusError):
    """A fault inside the engine; only this request is lost."""


class LengthFinishReasonError(OpenAIError):
    """The answer ended by its length and cannot be parsed."""

    completion: ChatCompletion

    def __init__(self, *, completion: ChatCompletion) -> None:
        message = "Could not parse response content as the length limit was reached"
        if completion.usage:
            message += f" - {completion.usage}"
        super().__init__(message)
        self.completion = completion


class ContentFilterFinishReasonError(OpenAIError):
    """The answer was refused by a content filter; this package has none."""

    completion: ChatCompletion | None

    def __init__(self, *, completion: ChatCompletion | None = None) -> None:
        super().__init__("Could not parse response content as the request was rejected by the content filter")
        self.completion = completion


# -- what openai has no name for ---------------------------------------------------------------------------------------


class OptionError(OpenAIError, ValueError):
    """An option of the client has a wrong type or value; raised by its constructor, before any file is touched.

    Args:
        param: Name of the option.
        value: The value given.
        limit: What is allowed, in words.
    """

    def __init__(self, param: str, value: object, limit: str) -> None:
        super().__init__(f"{param} is {shown(value)}, but must be {limit}")
        self.param = param
        self.value = value
        self.limit = limit


class ModelLoadError(OpenAIError):
    """The model file is missing, truncated, corrupt, of an unknown kind, or does not fit into memory.

    Args:
        path: The model file.
        reason: What the engine found.
        param: The option to change where one would help (`n_ctx` beyond memory), else `None`.
    """

    def __init__(self, path: str, reason: str, *, param: str | None = None) -> None:
        super().__init__(f"cannot load {path}: {reason}")
        self.path = path
        self.reason = reason
        self.param = param


class DownloadError(OpenAIError):
    """A model could not be fetched, or is not there to be used without the network.

    Args:
        source: What was asked for: a repository, a URL, a file of either.
        reason: What is wrong, and what helps.
        code: `"network"` (no answer), `"offline"` (the network may not be used), `"unauthorized"`, `"forbidden"`
            (gated, or not this account's), `"not_found"`, `"corrupt"` (not the bytes that were published),
            `"no_space"`, `"server"` (it answered with a fault), `"cache"` (the cache cannot be written), `"cancelled"`.
    """

    def __init__(self, source: str, reason: str, *, code: DownloadErrorCode) -> None:
        super().__init__(f"cannot fetch {source}: {reason}")
        self.source = source
        self.reason = reason
        self.code: DownloadErrorCode = code


class StoreError(OpenAIError):
    """The store of completions cannot be opened, read or written; or the client has none.

    Args:
        path: The store's file, `":memory:"`, or `None` for a client without store.
        reason: What SQLite says.
    """

    def __init__(self, path: str | None, reason: str) -> None:
        super().__init__(f"the store {path} cannot be used: {reason}" if path is not None else reason)
        self.path = path
        self.reason = reason


class ClientClosedError(APIConnectionError, RuntimeError):
    """The client was closed before or during the request. openai raises a RuntimeError; this one is both."""

    def __init__(self, message: str = "Cannot send a request, as the client has been closed.") -> None:
        super().__init__(message=message, request=None)


class StreamClosedError(OpenAIError, RuntimeError):
    """A stream was read after its `close()`."""

    def __init__(self) -> None:
        super().__init__("Attempted to read or stream content, but the stream has been closed.")


class EventLoopError(OpenAIError, RuntimeError):
    """The client is at work for another event loop. It may move to a new one only while idle."""


class ForkedError(OpenAIError, RuntimeError):
    """The client was made before `os.fork()`: its threads live in the parent. Make a new one in the child."""

    def __init__(self) -> None:
        super().__init__(
            "this client was loaded before os.fork(); its threads live in the parent process: make a new client here"
        )


# -- from native status to exception -----------------------------------------------------------------------------------


# What a full queue asks its callers to wait. A guess by design: how long a place takes to come free depends on answers
# whose length nobody knows yet.
_RETRY_AFTER_S = 1


class _Kind(NamedTuple):
    """What an error reply is: its class, HTTP status, and the `type` and `code` of its error object."""

    error: type[APIStatusError]
    status_code: int
    type: str
    code: str | None


_INVALID = _Kind(BadRequestError, 400, "invalid_request_error", None)
_REPLIES: Mapping[Status, _Kind] = {
    Status.INVALID: _INVALID,
    Status.CONTEXT_LENGTH: _INVALID._replace(code="context_length_exceeded"),
    Status.GRAMMAR: _INVALID._replace(code="invalid_grammar"),
    Status.TEMPLATE: _INVALID._replace(code="invalid_chat"),
    Status.UNSUPPORTED: _INVALID._replace(code="unsupported"),
    Status.QUEUE_FULL: _Kind(RateLimitError, 429, "requests", "rate_limit_exceeded"),
    Status.MEMORY: _Kind(InternalServerError, 500, "server_error", "out_of_memory"),
    Status.INTERNAL: _Kind(InternalServerError, 500, "server_error", None),
    Status.NOT_READY: _Kind(InternalServerError, 503, "server_error", "model_not_ready"),
}


def error_from_status(
    status: int, message: str, param: str | None = None, *, path: str | None = None, mid_stream: bool = False
) -> OpenAIError:
    """Return the exception for a native status other than OK.

    Args:
        status: The `la_status`; an unknown one counts as INTERNAL.
        message: What the engine says about it.
        param: The parameter at fault, where the engine names one.
        path: The model file, when it was loading that failed.
        mid_stream: Whether part of the answer was already handed out: like openai, a bare APIError then.
    """
    known = Status(status) if status in Status._value2member_map_ else Status.INTERNAL
    if known is Status.CLOSED:
        return ClientClosedError()
    if known is Status.TIMEOUT:
        return APITimeoutError(None)
    if known is Status.CANCELLED:
        return APIConnectionError(message="Request was cancelled.", request=None)
    if known is Status.FORKED:
        return ForkedError()
    if path is not None or known is Status.LOAD:
        return ModelLoadError(path or "the model", message or known.name.lower(), param=param or None)
    kind = _REPLIES[known]
    if known in {Status.CONTEXT_LENGTH, Status.TEMPLATE} and not param:
        param = "messages"
    if mid_stream:
        return APIError(message, None, body=_error_object(kind, message, param))
    return _reply(kind, message, param, {"retry-after": str(_RETRY_AFTER_S)} if known is Status.QUEUE_FULL else {})


def bad_request(param: str, message: str, *, code: str | None = None) -> APIStatusError:
    """Return the BadRequestError for a parameter with a wrong type, range or combination."""
    return _reply(_INVALID._replace(code=code), message, param)


def model_not_found(model: str, available: list[str]) -> APIStatusError:
    """Return the NotFoundError for a model name that this client does not know, listing those it does."""
    message = f"the model {shown(model)} does not exist; available: {', '.join(map(repr, available))}"
    return _reply(_Kind(NotFoundError, 404, "invalid_request_error", "model_not_found"), message, "model")


def route_error(method: str, path: str, allowed: Sequence[str] = ()) -> APIStatusError:
    """Return the error for a method and path that the HTTP API does not have.

    Args:
        method: The request's.
        path: The request's.
        allowed: The methods that the path does have.
    """
    if allowed:
        message = f"{shown(path)} does not take {shown(method)}, but {', '.join(allowed)}"
        kind = _Kind(APIStatusError, 405, "invalid_request_error", "method_not_allowed")
        return _reply(kind, message, None, {"allow": ", ".join(allowed)})
    kind = _Kind(NotFoundError, 404, "invalid_request_error", "unknown_url")
    return _reply(kind, f"no such URL: {shown(method)} {shown(path)}", None)


def completion_not_found(completion_id: str, param: str = "completion_id") -> APIStatusError:
    """Return the NotFoundError for the id of a completion, or of a message of one, that is not in the store."""
    message = f"nothing is stored under the id {shown(completion_id)}"
    return _reply(_Kind(NotFoundError, 404, "invalid_request_error", None), message, param)


def authentication_error(message: str) -> APIStatusError:
    """Return the AuthenticationError for a request without a key that the server knows."""
    kind = _Kind(AuthenticationError, 401, "invalid_request_error", "invalid_api_key")
    return _reply(kind, message, None, {"www-authenticate": "Bearer"})


def permission_denied(message: str, code: str) -> APIStatusError:
    """Return the PermissionDeniedError for a request that the server does not take from there."""
    return _reply(_Kind(PermissionDeniedError, 403, "invalid_request_error", code), message, None)


def too_large(message: str, param: str | None = None) -> APIStatusError:
    """Return the error for a request that is larger than the server takes."""
    return _reply(_Kind(APIStatusError, 413, "invalid_request_error", "request_too_large"), message, param)


def too_slow(message: str) -> APIStatusError:
    """Return the error for a request whose body does not come."""
    return _reply(_Kind(APIStatusError, 408, "invalid_request_error", "request_timeout"), message, None)


def too_many(message: str) -> APIStatusError:
    """Return the RateLimitError for a request beyond what the server takes at a time."""
    kind = _REPLIES[Status.QUEUE_FULL]
    return _reply(kind, message, None, {"retry-after": str(_RETRY_AFTER_S)})


def not_available(message: str, code: str) -> APIStatusError:
    """Return the InternalServerError for a server that takes no requests now, and may do so later or elsewhere."""
    kind = _Kind(InternalServerError, 503, "server_error", code)
    return _reply(kind, message, None, {"retry-after": str(_RETRY_AFTER_S)})


def internal_error(message: str) -> APIStatusError:
    """Return the InternalServerError for a fault that is nobody's request."""
    return _reply(_REPLIES[Status.INTERNAL], message, None)


def _error_object(kind: _Kind, message: str, param: str | None) -> dict[str, object]:
    return {"message": message, "type": kind.type, "param": param or None, "code": kind.code}


def _reply(kind: _Kind, message: str, param: str | None, headers: Mapping[str, str] | None = None) -> APIStatusError:
    error = _error_object(kind, message, param)
    body = {"error": error}
    reply = Reply(kind.status_code, body, {"x-request-id": new_request_id(), **(headers or {})})
    return kind.error(f"Error code: {kind.status_code} - {message}", response=reply, body=error)


def new_request_id() -> str:
    """Return a fresh id of a request."""
    return f"req_{os.urandom(16).hex()}"


def shown(value: object, limit: int = 80) -> str:
    """Return a value for an error text: never the ten megabytes somebody passed by mistake."""
    if isinstance(value, (str, bytes)) and len(value) > limit:
        return f"{value[:limit]!r}... ({len(value)} long)"
    if isinstance(value, (list, tuple, dict, set)) and len(value) > 8:
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({type(value).__name__})"

"""The exception tree is openai's, and every native status becomes an exception in one place."""

from __future__ import annotations

import inspect

import openai
import pytest

import llama_async
from llama_async import _errors
from llama_async._abi import Status
from llama_async._errors import bad_request, error_from_status, model_not_found, shown

SHARED = [
    name
    for name in llama_async.__all__
    if inspect.isclass(getattr(llama_async, name))
    and issubclass(getattr(llama_async, name), BaseException)
    and hasattr(openai, name)
]


def test_most_of_openais_exceptions_are_there() -> None:
    assert len(SHARED) >= 16


@pytest.mark.parametrize("name", SHARED)
def test_bases_are_openais(name: str) -> None:
    ours = [cls.__name__ for cls in getattr(llama_async, name).__mro__ if not cls.__name__.startswith("_")]
    theirs = [cls.__name__ for cls in getattr(openai, name).__mro__]
    assert ours == theirs


@pytest.mark.parametrize("name", SHARED)
def test_constructor_is_openais(name: str) -> None:
    def shape(cls: type) -> list[tuple[str, object, bool]]:
        parameters = inspect.signature(cls.__init__).parameters.values()
        return [(p.name, p.kind, p.default is p.empty) for p in parameters]

    assert shape(getattr(llama_async, name)) == shape(getattr(openai, name))


def test_every_status_is_mapped() -> None:
    for status in Status:
        if status is not Status.OK:
            error = error_from_status(status, "reason", "param")
            assert isinstance(error, llama_async.OpenAIError)
            assert str(error)


def test_unknown_status_counts_as_internal() -> None:
    assert isinstance(error_from_status(999, "?"), llama_async.InternalServerError)


@pytest.mark.parametrize(
    ("status", "error", "status_code", "code"),
    [
        (Status.INVALID, llama_async.BadRequestError, 400, None),
        (Status.CONTEXT_LENGTH, llama_async.BadRequestError, 400, "context_length_exceeded"),
        (Status.GRAMMAR, llama_async.BadRequestError, 400, "invalid_grammar"),
        (Status.TEMPLATE, llama_async.BadRequestError, 400, "invalid_chat"),
        (Status.UNSUPPORTED, llama_async.BadRequestError, 400, "unsupported"),
        (Status.QUEUE_FULL, llama_async.RateLimitError, 429, "rate_limit_exceeded"),
        (Status.MEMORY, llama_async.InternalServerError, 500, "out_of_memory"),
        (Status.INTERNAL, llama_async.InternalServerError, 500, None),
    ],
)
def test_status_error(
    status: Status, error: type[llama_async.APIStatusError], status_code: int, code: str | None
) -> None:
    raised = error_from_status(status, "the reason", "where")
    assert type(raised) is error
    assert (raised.status_code, raised.code, raised.param) == (status_code, code, "where")
    assert raised.body == {"message": "the reason", "type": raised.type, "param": "where", "code": code}
    assert str(raised) == raised.message == f"Error code: {status_code} - {raised.body['message']}"
    assert raised.request_id is not None
    assert raised.request_id.startswith("req_")


def test_response_is_made_when_looked_at() -> None:
    error = error_from_status(Status.QUEUE_FULL, "full")
    assert isinstance(error, llama_async.RateLimitError)
    response = error.response
    assert response is error.response
    assert response.status_code == 429
    assert float(response.headers["retry-after"]) > 0
    assert response.headers["x-request-id"] == error.request_id
    assert response.json()["error"]["message"] == "full"
    assert response.request is error.request
    assert error.request.method == "POST"


def test_in_a_stream_the_error_is_bare() -> None:
    error = error_from_status(Status.INTERNAL, "fault", mid_stream=True)
    assert type(error) is llama_async.APIError
    assert str(error) == "fault"
    assert isinstance(error_from_status(Status.TIMEOUT, "", mid_stream=True), llama_async.APITimeoutError)
    assert isinstance(error_from_status(Status.CLOSED, "", mid_stream=True), llama_async.ClientClosedError)


def test_context_length_blames_the_messages() -> None:
    error = error_from_status(Status.CONTEXT_LENGTH, "too long")
    assert isinstance(error, llama_async.BadRequestError)
    assert error.param == "messages"


def test_closed_client_is_a_runtime_error_too() -> None:
    error = error_from_status(Status.CLOSED, "")
    assert isinstance(error, RuntimeError)
    assert isinstance(error, llama_async.APIConnectionError)
    assert str(error) == "Cannot send a request, as the client has been closed."


def test_load_error_names_the_file() -> None:
    error = error_from_status(Status.MEMORY, "needs 3 TiB", "n_ctx", path="/models/x.gguf")
    assert isinstance(error, llama_async.ModelLoadError)
    assert (error.path, error.param) == ("/models/x.gguf", "n_ctx")
    assert str(error) == "cannot load /models/x.gguf: needs 3 TiB"


def test_unknown_model_lists_the_known() -> None:
    error = model_not_found("gpt-5", ["tiny", "default"])
    assert isinstance(error, llama_async.NotFoundError)
    assert (error.code, error.param) == ("model_not_found", "model")
    assert "'tiny', 'default'" in str(error)


def test_an_error_text_never_repeats_megabytes() -> None:
    assert len(str(bad_request("x", f"x is {shown('a' * 10_000_000)}"))) < 500
    assert len(shown([0] * 1_000_000)) < 100
    assert shown(float("nan")) == "nan"


def test_all_is_complete() -> None:
    classes = {
        name
        for name, value in vars(_errors).items()
        if inspect.isclass(value) and issubclass(value, _errors.OpenAIError) and not name.startswith("_")
    }
    assert classes <= set(llama_async.__all__)

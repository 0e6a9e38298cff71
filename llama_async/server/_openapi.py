"""The OpenAPI document: which routes there are, and, from the client's own types, what goes in and comes out.

What becomes of each parameter is `llama_async._compat`'s table, ranges and notes included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from llama_async._compat import CHAT, COMPLETIONS, EMBEDDINGS, ENDPOINTS, EXTRA_BODY_PARAMETERS, Effect
from llama_async._version import __version__
from llama_async.types import (
    Completion,
    CreateEmbeddingResponse,
    EmbeddingCreateParams,
    ModelDeleted,
    completion_create_params,
)
from llama_async.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionDeleted,
    ChatCompletionStoreMessage,
)
from llama_async.types.chat import completion_create_params as chat_completion_create_params
from llama_async.types.chat.completion_update_params import CompletionUpdateParams
from llama_async.types.local_params import ApplyTemplateParams, DetokenizeParams, RerankParams, TokenizeParams
from llama_async.types.rerank_response import RerankResponse
from llama_async.types.token_responses import ApplyTemplateResponse, DetokenizeResponse, TokenizeResponse

from ._described import ServedModel

__all__ = ["document"]

_Json = dict[str, Any]


@dataclass(frozen=True)
class _Operation:
    """One route.

    Attributes:
        method: In lower case.
        path: Below `/v1`.
        summary: What it does.
        result: The type of the reply.
        body: The type of the request's body.
        endpoint: The client's method, where `_compat` has its parameters.
        chunk: The type of the events, where the reply may be a stream.
        is_list: Whether the reply is a page of results.
        query: Parameters of the query and their types.
    """

    method: str
    path: str
    summary: str
    result: Any
    body: Any = None
    endpoint: str | None = None
    chunk: Any = None
    is_list: bool = False
    query: Mapping[str, str] = field(default_factory=dict)


_PAGE = {"after": "string", "limit": "integer", "order": "string"}
_CHAT = "/chat/completions"
_STORED = "/chat/completions/{completion_id}"
_OPERATIONS = (
    _Operation(
        "post",
        _CHAT,
        "An answer to a conversation",
        ChatCompletion,
        chat_completion_create_params.CompletionCreateParamsNonStreaming,
        CHAT,
        ChatCompletionChunk,
    ),
    _Operation(
        "get", _CHAT, "Stored answers", ChatCompletion, is_list=True, query={**_PAGE, "model": "string"}
    ),
    _Operation("get", _STORED, "A stored answer", ChatCompletion),
    _Operation("post", _STORED, "Other metadata for a stored answer", ChatCompletion, CompletionUpdateParams),
    _Operation("delete", _STORED, "Forget a stored answer", ChatCompletionDeleted),
    _Operation(
        "get", f"{_STORED}/messages", "A stored conversation", ChatCompletionStoreMessage, is_list=True, query=_PAGE
    ),
    _Operation(
        "post",
        "/completions",
        "A text continued",
        Completion,
        completion_create_params.CompletionCreateParamsNonStreaming,
        COMPLETIONS,
        Completion,
    ),
    _Operation("post", "/embeddings", "Texts as vectors", CreateEmbeddingResponse, EmbeddingCreateParams, EMBEDDINGS),
    _Operation("get", "/models", "The models, under each of their names", ServedModel, is_list=True),
    _Operation("get", "/models/{model}", "A model", ServedModel),
    _Operation("delete", "/models/{model}", "Take a name away, where that is allowed; the file stays", ModelDeleted),
    _Operation("post", "/rerank", "Documents by their relevance to a query", RerankResponse, RerankParams),
    _Operation("post", "/tokenize", "Texts as tokens", TokenizeResponse, TokenizeParams),
    _Operation("post", "/detokenize", "Tokens as text", DetokenizeResponse, DetokenizeParams),
    _Operation("post", "/apply-template", "A conversation as a prompt", ApplyTemplateResponse, ApplyTemplateParams),
)  # fmt: skip

_ERRORS = {
    400: "A parameter is wrong; `param` names it.",
    401: "No API key, or none that is known.",
    403: "Not from this host or origin, or not allowed here.",
    404: "No such model, answer or URL.",
    405: "The path has other methods.",
    408: "The body did not come in time.",
    413: "The request is too large.",
    429: "The queue, or the server, is full; `retry-after` has seconds.",
    500: "A fault of the server's.",
    503: "The model is not ready, or the server is shutting down.",
    504: "The answer took too long.",
}
_REF = "#/components/schemas/{model}"
_KINDS = {"int": "integer", "float": "number", "bool": "boolean"}
_OTHER_KINDS: Mapping[str, _Json] = {
    "dry_sequence_breakers": {"type": "array", "items": {"type": "string"}},
    "samplers": {"type": "array", "items": {"type": "string"}},
    "grammar": {"type": "string"},
    "cache_prompt": {"type": "boolean"},
    "chat_template": {"type": "string"},
    "chat_template_kwargs": {"type": "object"},
    "priority": {"type": "integer"},
    "speculative": {"type": ["boolean", "string", "array", "object"]},
    "speculative.type": {"type": "string"},
}


@cache
def document(*, has_keys: bool) -> _Json:
    """Return the OpenAPI document.

    Args:
        has_keys: Whether requests need a key.
    """
    schemas, components = _schemas()
    for operation in _OPERATIONS:
        if operation.body is not None:
            name = schemas[id(operation.body)]["$ref"].rpartition("/")[2]
            components[name] = _body(components[name], operation.endpoint)
    paths: _Json = {}
    for operation in _OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schemas)
    components["Error"] = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    }
    result: _Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "llama-async",
            "version": __version__,
            "description": "openai's API over local models. Every path is there without /v1, too.",
        },
        "servers": [{"url": "v1"}],
        "paths": paths,
        "components": {"schemas": components},
    }
    if has_keys:
        result["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        }
        # Either.
        result["security"] = [{"key": []}, {"header": []}]
    return result


def _schemas() -> tuple[Mapping[int, _Json], _Json]:
    """Return the schema of each type by its id, and the components they refer to."""
    inputs = []
    for operation in _OPERATIONS:
        inputs += [
            (id(kind), mode, TypeAdapter(kind))
            for kind, mode in (
                (operation.body, "validation"),
                (operation.result, "serialization"),
                (operation.chunk, "serialization"),
            )
            if kind is not None
        ]
    found, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REF)  # type: ignore[arg-type]
    components: _Json = definitions["$defs"]
    names = {name: _short(name) for name in components}
    assert len(set(names.values())) == len(names)
    components = {names[name]: _renamed(schema, names) for name, schema in components.items()}
    components["Embedding"]["properties"]["embedding"] = {
        "anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string", "contentEncoding": "base64"}]
    }
    return {key: _renamed(schema, names) for (key, _), schema in found.items()}, components


def _short(name: str) -> str:
    # pydantic writes the whole module before a name that stands in several.
    if "__" not in name:
        return name
    *modules, own = name.split("__")[2:]
    return "".join(part[:1].upper() + part[1:] for module in modules for part in module.split("_")) + own


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    """Return a schema with other names of components, and without openai's list of its own models."""
    if isinstance(schema, list):
        return [_renamed(item, names) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _renamed(value, names) for key, value in schema.items()}
    reference = result.get("$ref")
    if isinstance(reference, str):
        result["$ref"] = re.sub(r"[^/]+$", lambda match: names.get(match[0], match[0]), reference)
    kinds = result.get("anyOf")
    if isinstance(kinds, list) and {"type": "string"} in kinds:
        kinds = [kind for kind in kinds if "enum" not in kind or kind.get("type") != "string"]
        if len(kinds) == 1:
            del result["anyOf"]
            return {**kinds[0], **result}
        result["anyOf"] = kinds
    return result


def _operation(operation: _Operation, schemas: Mapping[int, _Json]) -> _Json:
    result = schemas[id(operation.result)]
    content: _Json = {"application/json": {"schema": _page(result) if operation.is_list else result}}
    if operation.chunk is not None:
        content["text/event-stream"] = {
            "schema": {
                "type": "string",
                "description": "Events `data: CHUNK`, the last one `data: [DONE]`. An error ends it as an event "
                '`data: {"error": ...}`. Lines that begin with a colon are comments.',
                "x-chunk": schemas[id(operation.chunk)],
            }
        }
    made: _Json = {
        "summary": operation.summary,
        "operationId": f"{operation.method}{re.sub('[^a-z]+', '_', operation.path)}".rstrip("_"),
        "responses": {
            "200": {"description": "The result.", "content": content, "headers": _HEADERS},
            **{str(status): _error(text) for status, text in _ERRORS.items()},
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    parameters += [{"name": name, "in": "query", "schema": {"type": kind}} for name, kind in operation.query.items()]
    if parameters:
        made["parameters"] = parameters
    if operation.body is not None:
        schema = schemas[id(operation.body)]
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return made


_HEADERS: _Json = {
    "x-request-id": {"schema": {"type": "string"}},
    "openai-processing-ms": {"schema": {"type": "integer"}},
}


def _error(text: str) -> _Json:
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _page(item: _Json) -> _Json:
    cursor = {"type": ["string", "null"]}
    return {
        "type": "object",
        "required": ["object", "data"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": item},
            "first_id": cursor,
            "last_id": cursor,
            "has_more": {"type": "boolean"},
        },
    }


def _body(schema: _Json, endpoint: str | None) -> _Json:
    """Return the schema of a body with what this server knows beyond openai's types."""
    properties = dict(schema["properties"])
    if "stream" in properties:
        properties["stream"] = {"type": ["boolean", "null"]}
    for name, parameter in ENDPOINTS.get(endpoint or "", {}).items():
        if name not in properties:
            continue
        note = parameter.note
        if parameter.effect is Effect.REJECTED:
            note = f"Refused: {note}."
        elif parameter.effect is Effect.NO_EFFECT:
            note = f"No effect: {note}."
        properties[name] = {**properties[name], **({"description": note} if note else {})}
    for name, extra in EXTRA_BODY_PARAMETERS.items():
        if endpoint in extra.endpoints:
            kind: _Json = {"type": _KINDS[extra.kind]} if extra.kind in _KINDS else dict(_OTHER_KINDS.get(name, {}))
            if extra.kind in {"int", "float"}:
                kind |= {
                    key: bound
                    for key, bound in (("minimum", extra.low), ("maximum", extra.high))
                    if math.isfinite(bound)
                }
            properties[name] = {**kind, **({"description": extra.note} if extra.note else {})}
    # Misspelt parameters are errors.
    return {**schema, "properties": properties, "additionalProperties": False}

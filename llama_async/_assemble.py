"""Deltas -> chat completion chunks, and the whole ChatCompletion.

Builds the result types without validating them: their fields are made here, and a validated chunk costs more than all
other work in Python on a token. Constant parts are built once a request.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ._abi import Finish, TokenLogprob, parse_logprobs
from ._errors import new_request_id
from ._generation import Delta, End
from ._models import add_request_id, make_builder
from .types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage, ChatCompletionTokenLogprob
from .types.chat import chat_completion as whole
from .types.chat import chat_completion_chunk as part
from .types.chat import chat_completion_message as message
from .types.chat import chat_completion_message_function_tool_call as call
from .types.chat.chat_completion_token_logprob import TopLogprob
from .types.completion_usage import CompletionTokensDetails, CompletionUsage, PromptTokensDetails

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ChatAssembler", "usage_of"]

_NONE = int(Finish.NONE)
_FINISH_REASONS: Mapping[int, str] = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.TOOL_CALLS: "tool_calls"}


class _Builders(NamedTuple):
    """Builders of everything but the outermost object, which knows its request."""

    delta: Any
    role_delta: Any
    empty_delta: Any
    choice: Any
    chunk_logprobs: Any
    message: Any
    whole_choice: Any
    whole_logprobs: Any
    token_logprob: Any
    top_logprob: Any
    usage: Any
    prompt_details: Any
    completion_details: Any
    call: Any
    call_function: Any
    call_delta: Any
    call_delta_function: Any
    function_delta: Any
    message_function: Any


@lru_cache(maxsize=1)
def _builders() -> _Builders:
    # At first use, not at import: looking at the fields of a class compiles its schema.
    return _Builders(
        delta=make_builder(part.ChoiceDelta),
        role_delta=make_builder(part.ChoiceDelta, refusal=None, role="assistant"),
        empty_delta=make_builder(part.ChoiceDelta),
        choice=make_builder(part.Choice, finish_reason=None, logprobs=None),
        chunk_logprobs=make_builder(part.ChoiceLogprobs, refusal=None),
        message=make_builder(ChatCompletionMessage, refusal=None, role="assistant"),
        whole_choice=make_builder(whole.Choice, logprobs=None),
        whole_logprobs=make_builder(whole.ChoiceLogprobs, refusal=None),
        token_logprob=make_builder(ChatCompletionTokenLogprob),
        top_logprob=make_builder(TopLogprob),
        usage=make_builder(CompletionUsage),
        prompt_details=make_builder(PromptTokensDetails),
        completion_details=make_builder(CompletionTokensDetails),
        call=make_builder(call.ChatCompletionMessageFunctionToolCall, type="function"),
        call_function=make_builder(call.Function),
        call_delta=make_builder(part.ChoiceDeltaToolCall),
        call_delta_function=make_builder(part.ChoiceDeltaToolCallFunction),
        function_delta=make_builder(part.ChoiceDeltaFunctionCall),
        message_function=make_builder(message.FunctionCall),
    )


class ChatAssembler:
    """Builds the results of one request.

    Args:
        model: The name asked for.
        fingerprint: What build and model answer.
        n_choices: Answers asked for.
        logprobs: Whether log probabilities were asked for.
        include_usage: Whether a stream ends with a chunk of usage.
        tools: Whether the answer may be calls and no content.
        functions: Whether a call is the message's `function_call`.
        named: Whether the call was asked for by name.
    """

    path = "chat/completions"
    # Whether the chunk of a delta that is text and nothing else depends on its choice and its text alone.
    has_plain_text = True

    def __init__(
        self,
        *,
        model: str,
        fingerprint: str | None,
        n_choices: int,
        logprobs: bool,
        include_usage: bool,
        tools: bool = False,
        functions: bool = False,
        named: bool = False,
    ) -> None:
        self.request_id = new_request_id()
        self._n_choices = n_choices
        self._logprobs = logprobs
        self._include_usage = include_usage
        self._tools = tools
        self._functions = functions
        self._finish_reasons = dict(_FINISH_REASONS)
        if tools:
            # A call by name was no decision of the model's: openai's server says that it stopped.
            made = "stop" if named else "function_call" if functions else "tool_calls"
            self._finish_reasons[Finish.TOOL_CALLS] = made
        builders = _builders()
        self._delta, self._choice, self._empty_delta = builders.delta, builders.choice, builders.empty_delta
        self._constants: dict[str, Any] = {
            "id": f"chatcmpl-{os.urandom(16).hex()}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint,
        }
        # With include_usage the reference's server sends a null on every chunk but the last.
        usage = {"usage": None} if include_usage else {}
        self._chunk = make_builder(
            ChatCompletionChunk, object="chat.completion.chunk", service_tier=None, **self._constants, **usage
        )

    # -- streaming

    def opening(self) -> list[ChatCompletionChunk]:
        """Return the chunks that open each choice; choice 0 comes first."""
        role_delta = _builders().role_delta
        content = None if self._tools else ""
        return [
            self._chunk(choices=[self._choice(delta=role_delta(content=content), index=index)])
            for index in range(self._n_choices)
        ]

    def chunk(self, delta: Delta) -> ChatCompletionChunk | None:
        """Return the chunk for the text of a delta, `None` if it has none."""
        text = delta.text
        if delta.logprobs:
            logprobs = _builders().chunk_logprobs(content=_logprobs(delta.logprobs))
            choice = self._choice(delta=self._delta(content=text), index=delta.choice, logprobs=logprobs)
        elif text:
            choice = self._choice(delta=self._delta(content=text), index=delta.choice)
        else:
            return None
        return self._chunk(choices=[choice])

    def parts(self, delta: Delta, text: ChatCompletionChunk | None) -> list[ChatCompletionChunk]:
        """Return the chunks of a delta that has reasoning or tool calls, in the order of a message's parts.

        Args:
            delta: What one choice gained.
            text: Its `chunk`.
        """
        chunks = [self._part(delta, reasoning_content=delta.reasoning)] if delta.reasoning else []
        if text is not None:
            chunks.append(text)
        builders = _builders()
        function = builders.function_delta if self._functions else builders.call_delta_function
        for gained in delta.calls.values():
            # Id and name come once: whoever joins the pieces appends to them.
            head = function(arguments="", name=gained.name) if gained.id else None
            piece = function(arguments=gained.arguments) if gained.arguments else None
            if self._functions:
                chunks += [self._part(delta, function_call=made) for made in (head, piece) if made is not None]
                continue
            if head is not None:
                made = builders.call_delta(index=gained.index, id=gained.id, function=head, type="function")
                chunks.append(self._part(delta, tool_calls=[made]))
            if piece is not None:
                made = builders.call_delta(index=gained.index, function=piece)
                chunks.append(self._part(delta, tool_calls=[made]))
        return chunks

    def _part(self, delta: Delta, **fields: Any) -> ChatCompletionChunk:
        chunk: ChatCompletionChunk = self._chunk(
            choices=[self._choice(delta=self._delta(**fields), index=delta.choice)]
        )
        return chunk

    def finish(self, delta: Delta) -> ChatCompletionChunk | None:
        """Return the chunk that ends the delta's choice, `None` if it goes on."""
        reason = self._finish_reasons.get(delta.finish)
        if reason is None:
            return None
        return self._chunk(choices=[self._choice(delta=self._empty_delta(), index=delta.choice, finish_reason=reason)])

    def closing(self, end: End) -> ChatCompletionChunk | None:
        """Return the chunk that ends the stream, if usage was asked for."""
        return self._chunk(choices=[], usage=usage_of(end)) if self._include_usage else None

    # -- whole

    def completion(self, deltas: Iterable[Delta], end: End) -> ChatCompletion:
        """Return the whole answer.

        Args:
            deltas: One per choice that has any.
            end: The request's end.
        """
        builders = _builders()
        by_choice = {delta.choice: delta for delta in deltas}
        choices = []
        for index in range(self._n_choices):
            delta = by_choice.get(index) or Delta(index, "", b"", int(Finish.STOP), 0)
            fields: dict[str, Any] = {}
            if self._logprobs:
                fields["logprobs"] = builders.whole_logprobs(content=_logprobs(delta.logprobs))
            choices.append(
                builders.whole_choice(
                    finish_reason=self._finish_reasons.get(delta.finish, "stop"),
                    index=index,
                    message=self._message(delta),
                    **fields,
                )
            )
        completion: ChatCompletion = make_builder(
            ChatCompletion, object="chat.completion", service_tier=None, **self._constants
        )(choices=choices, usage=usage_of(end))
        add_request_id(completion, self.request_id)
        return completion

    def _message(self, delta: Delta) -> ChatCompletionMessage:
        builders = _builders()
        # As a stream has it: its opening does not know yet whether there will be any.
        fields: dict[str, Any] = {"content": delta.text or (None if self._tools else "")}
        if delta.reasoning:
            fields["reasoning_content"] = delta.reasoning
        calls = list(delta.calls.values())
        if self._functions and calls:
            fields["function_call"] = builders.message_function(arguments=calls[0].arguments, name=calls[0].name)
        elif calls:
            fields["tool_calls"] = [
                builders.call(id=made.id, function=builders.call_function(arguments=made.arguments, name=made.name))
                for made in calls
            ]
        result: ChatCompletionMessage = builders.message(**fields)
        return result


def usage_of(end: End) -> CompletionUsage:
    """Return what a request used."""
    builders = _builders()
    predicted = end.predicted
    usage: CompletionUsage = builders.usage(
        completion_tokens=end.n_generated,
        prompt_tokens=end.n_prompt,
        total_tokens=end.n_prompt + end.n_generated,
        completion_tokens_details=builders.completion_details(
            reasoning_tokens=end.n_reasoning,
            **(
                {"accepted_prediction_tokens": predicted.n_accepted, "rejected_prediction_tokens": predicted.n_rejected}
                if predicted
                else {}
            ),
        ),
        prompt_tokens_details=builders.prompt_details(cached_tokens=end.n_cached),
    )
    return usage


def _logprobs(packed: Iterable[bytes]) -> list[ChatCompletionTokenLogprob]:
    return [_token_logprob(entry) for entries in packed for entry in parse_logprobs(entries)]


def _token_logprob(entry: TokenLogprob) -> ChatCompletionTokenLogprob:
    builders = _builders()
    result: ChatCompletionTokenLogprob = builders.token_logprob(
        **_token_fields(entry), top_logprobs=[builders.top_logprob(**_token_fields(other)) for other in entry.top]
    )
    return result


def _token_fields(entry: TokenLogprob) -> dict[str, Any]:
    # A token may hold a part of a character; `bytes` has what `token` cannot show.
    return {
        "token": entry.text.decode("utf-8", "replace"),
        "bytes": list(entry.text),
        "logprob": entry.logprob,
    }

"""`client.tokenize`, `detokenize`, `count_tokens`, `apply_template`. openai has no such methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

from llama_async._abi import SegmentFlag
from llama_async._errors import bad_request, shown
from llama_async._inputs import texts_or_tokens
from llama_async._parameters import boolean
from llama_async._resource import AsyncAPIResource
from llama_async._submit import checked
from llama_async._tokens import detokenize, n_tokens, render, tokenize
from llama_async._types import not_given, omit

if TYPE_CHECKING:
    from httpx import Timeout

    from llama_async._messages import ChatPrompt
    from llama_async._types import Body, NotGiven, Omit
    from llama_async.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
    from llama_async.types.shared import ReasoningEffort

__all__ = ["AsyncApplyTemplate", "AsyncCountTokens", "AsyncDetokenize", "AsyncTokenize"]


class AsyncTokenize(AsyncAPIResource):
    """Called as `client.tokenize(...)`."""

    @overload
    async def __call__(
        self,
        text: str,
        *,
        model: str = "default",
        add_special: bool = False,
        parse_special: bool = True,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> list[int]: ...

    @overload
    async def __call__(
        self,
        text: list[str] | tuple[str, ...],
        *,
        model: str = "default",
        add_special: bool = False,
        parse_special: bool = True,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> list[list[int]]: ...

    async def __call__(
        self,
        text: str | list[str] | tuple[str, ...],
        *,
        model: str = "default",
        add_special: bool = False,
        parse_special: bool = True,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> list[int] | list[list[int]]:
        """Return the tokens of a text, or of each of several.

        Args:
            text: A text, or several, 4 MiB together at most.
            model: The file's stem, `"default"`, or an alias of the client.
            add_special: Add the BOS and EOS tokens that the model wants.
            parse_special: Text that spells a control token, such as `<|im_end|>`, becomes that token.
            timeout: Seconds to wait. Loading counts.

        Raises:
            NotFoundError: The client has no such model.
            BadRequestError: An argument has a wrong type, or the text is too long.
            RateLimitError: The queue is full.
            APITimeoutError: `timeout` passed.
        """
        flags = _flags({"add_special": add_special, "parse_special": parse_special})
        resolved, timeout_s = self._model(model), self._timeout(timeout)
        if isinstance(text, str):
            [tokens] = await tokenize(resolved, [text], ["text"], flags, timeout_s)
            return tokens
        if not isinstance(text, (list, tuple)):
            raise bad_request("text", f"text is {shown(text)}, but must be text or a list of texts")
        texts = list(text)
        places = [f"text[{index}]" for index in range(len(texts))]
        for place, entry in zip(places, texts, strict=True):
            if not isinstance(entry, str):
                raise bad_request(place, f"{place} is {shown(entry)}, but must be text")
        return await tokenize(resolved, texts, places, flags, timeout_s) if texts else []


class AsyncDetokenize(AsyncAPIResource):
    """Called as `client.detokenize(...)`."""

    @overload
    async def __call__(
        self,
        tokens: Iterable[int],
        *,
        model: str = "default",
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> str: ...

    @overload
    async def __call__(
        self,
        tokens: Iterable[Iterable[int]],
        *,
        model: str = "default",
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> list[str]: ...

    async def __call__(
        self,
        tokens: Iterable[int] | Iterable[Iterable[int]],
        *,
        model: str = "default",
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> str | list[str]:
        """Return the text of tokens, or of each of several lists of them.

        Control tokens appear by name. Bytes that are not UTF-8, such as half of a character, become U+FFFD.

        Args:
            tokens: Token ids, or lists of them, about a million together at most.
            model: The file's stem, `"default"`, or an alias of the client.
            timeout: Seconds to wait. Loading counts.

        Raises:
            NotFoundError: The client has no such model.
            BadRequestError: An entry is no token id of the model, or there are too many.
            RateLimitError: The queue is full.
            APITimeoutError: `timeout` passed.
        """
        resolved, timeout_s = self._model(model), self._timeout(timeout)
        if isinstance(tokens, (str, bytes, Mapping)) or not isinstance(tokens, Iterable):
            raise bad_request("tokens", f"tokens is {shown(tokens)}, but must be token ids or lists of them")
        entries: list[Any] = list(tokens)
        if not entries:
            return ""
        lists, places = texts_or_tokens("tokens", entries)
        if isinstance(lists[0], str):
            raise bad_request("tokens[0]", f"tokens[0] is {shown(lists[0])}, but must be a token id")
        texts = await detokenize(resolved, lists, places, timeout_s)
        return texts[0] if places == ["tokens"] else texts


class AsyncCountTokens(AsyncAPIResource):
    """Called as `client.count_tokens(...)`."""

    async def __call__(
        self,
        text: str | Iterable[ChatCompletionMessageParam],
        *,
        model: str = "default",
        tools: Iterable[ChatCompletionToolUnionParam] | Omit = omit,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> int:
        """Return how many tokens a prompt has: what `usage.prompt_tokens` would say of it.

        Args:
            text: The prompt of a text completion, or the messages of a chat completion.
            model: The file's stem, `"default"`, or an alias of the client.
            tools: Of a chat completion.
            timeout: Seconds to wait. Loading counts.

        Raises:
            NotFoundError: The client has no such model.
            BadRequestError: An argument has a wrong type, the prompt is too long, or the template refuses the messages.
            RateLimitError: The queue is full.
            APITimeoutError: `timeout` passed.
        """
        resolved, timeout_s = self._model(model), self._timeout(timeout)
        if isinstance(text, str):
            flags = SegmentFlag.ADD_SPECIAL | SegmentFlag.PARSE_SPECIAL
            return await n_tokens(resolved, text, flags, timeout_s)
        prompt = await _chat_prompt(model, {"messages": text, "tools": tools})
        return (await render(resolved, prompt, timeout_s))[1]


class AsyncApplyTemplate(AsyncAPIResource):
    """Called as `client.apply_template(...)`."""

    async def __call__(
        self,
        messages: Iterable[ChatCompletionMessageParam],
        *,
        model: str = "default",
        add_generation_prompt: bool = True,
        tools: Iterable[ChatCompletionToolUnionParam] | Omit = omit,
        reasoning_effort: ReasoningEffort | Omit | None = omit,
        extra_body: Body | None = None,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> str:
        """Return the prompt that the model's chat template makes of a conversation.

        A BOS token that the model adds by itself is no part of it. Names of control tokens in the messages look like
        the tokens that the template writes, but are not taken for them when the prompt is answered.

        Args:
            messages: The conversation.
            model: The file's stem, `"default"`, or an alias of the client.
            add_generation_prompt: End with what the assistant's answer begins with.
            tools: As for a chat completion.
            reasoning_effort: As for a chat completion.
            extra_body: `chat_template` and `chat_template_kwargs`, as for a chat completion.
            timeout: Seconds to wait. Loading counts.

        Raises:
            NotFoundError: The client has no such model.
            BadRequestError: An argument has a wrong type, or the template refuses the messages.
            RateLimitError: The queue is full.
            APITimeoutError: `timeout` passed.
        """
        begins_answer = boolean({"add_generation_prompt": add_generation_prompt}, "add_generation_prompt")
        resolved, timeout_s = self._model(model), self._timeout(timeout)
        parameters = {
            "messages": messages,
            "tools": tools,
            "reasoning_effort": reasoning_effort,
            "extra_body": extra_body,
        }
        prompt = (await _chat_prompt(model, parameters)).with_options(add_generation_prompt=begins_answer)
        return (await render(resolved, prompt, timeout_s))[0]


def _flags(given: Mapping[str, object]) -> SegmentFlag:
    flags = SegmentFlag.NONE
    if boolean(given, "add_special"):
        flags |= SegmentFlag.ADD_SPECIAL
    if boolean(given, "parse_special"):
        flags |= SegmentFlag.PARSE_SPECIAL
    return flags


async def _chat_prompt(model: str, parameters: Mapping[str, object]) -> ChatPrompt:
    # As a chat completion would check and encode it.
    return (await checked(model, parameters)).prompt

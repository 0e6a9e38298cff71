"""`client.tokenize`, `detokenize`, `count_tokens`, `apply_template`. openai has no such methods.

Written by tools/gen_blocking.py from llama_async/resources/tokens.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from llama_async._blocking._base import SyncAPIResource
from llama_async._types import not_given, omit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from httpx import Timeout

    from llama_async._types import Body, NotGiven, Omit
    from llama_async.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
    from llama_async.types.shared import ReasoningEffort

__all__ = ["ApplyTemplate", "CountTokens", "Detokenize", "Tokenize"]


class Tokenize(SyncAPIResource):
    """Called as `client.tokenize(...)`."""

    @overload
    def __call__(
        self,
        text: str,
        *,
        model: str = "default",
        add_special: bool = False,
        parse_special: bool = True,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> list[int]: ...

    @overload
    def __call__(
        self,
        text: list[str] | tuple[str, ...],
        *,
        model: str = "default",
        add_special: bool = False,
        parse_special: bool = True,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> list[list[int]]: ...

    def __call__(
        self,
        text: str | list[str] | tuple[str, ...],
        *,
        model: str = "default",
        add_special: bool = False,
        parse_special: bool = True,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> list[int] | list[list[int]]:
        """Return the tokens of a text, or of each of several.

        Blocks until that is done, else as `AsyncTokenize.__call__`.
        """
        result: list[int] | list[list[int]] = self._call(
            "__call__",
            text=text,
            model=model,
            add_special=add_special,
            parse_special=parse_special,
            timeout=timeout,
        )
        return result


class Detokenize(SyncAPIResource):
    """Called as `client.detokenize(...)`."""

    @overload
    def __call__(
        self,
        tokens: Iterable[int],
        *,
        model: str = "default",
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> str: ...

    @overload
    def __call__(
        self,
        tokens: Iterable[Iterable[int]],
        *,
        model: str = "default",
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> list[str]: ...

    def __call__(
        self,
        tokens: Iterable[int] | Iterable[Iterable[int]],
        *,
        model: str = "default",
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> str | list[str]:
        """Return the text of tokens, or of each of several lists of them.

        Blocks until that is done, else as `AsyncDetokenize.__call__`.
        """
        result: str | list[str] = self._call("__call__", tokens=tokens, model=model, timeout=timeout)
        return result


class CountTokens(SyncAPIResource):
    """Called as `client.count_tokens(...)`."""

    def __call__(
        self,
        text: str | Iterable[ChatCompletionMessageParam],
        *,
        model: str = "default",
        tools: Iterable[ChatCompletionToolUnionParam] | Omit = omit,
        timeout: float | Timeout | NotGiven | None = not_given,
    ) -> int:
        """Return how many tokens a prompt has: what `usage.prompt_tokens` would say of it.

        Blocks until that is done, else as `AsyncCountTokens.__call__`.
        """
        result: int = self._call("__call__", text=text, model=model, tools=tools, timeout=timeout)
        return result


class ApplyTemplate(SyncAPIResource):
    """Called as `client.apply_template(...)`."""

    def __call__(
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

        Blocks until that is done, else as `AsyncApplyTemplate.__call__`.
        """
        result: str = self._call(
            "__call__",
            messages=messages,
            model=model,
            add_generation_prompt=add_generation_prompt,
            tools=tools,
            reasoning_effort=reasoning_effort,
            extra_body=extra_body,
            timeout=timeout,
        )
        return result

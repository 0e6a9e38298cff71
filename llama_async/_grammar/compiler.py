"""The way in: a schema -> its grammar (GBNF), or an error that names what cannot be enforced. Cached by content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar, cast

from llama_async._errors import bad_request

from .arguments import Arguments, compiled_arguments
from .gbnf import joined
from .known import ANSWER, LENIENT, STRICT, outcomes, schema_text
from .values import Refused, TooLarge
from .writer import MAX_CHARACTERS, Writer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["arguments_of", "rules_of", "schema_grammar"]

_T = TypeVar("_T")


def schema_grammar(schema: object, param: str) -> str:
    """Return the grammar (GBNF) of the answers that satisfy a schema.

    Args:
        schema: Any JSON schema of draft 2020-12, or an older one as far as they agree.
        param: The parameter it came with, for the error.

    Raises:
        BadRequestError: It is no schema, is too large, or has a keyword that cannot be enforced.
    """
    return _known(ANSWER, schema, param, lambda text: Writer(json.loads(text)).text(), len)


def arguments_of(schema: object, param: str, *, lenient: bool = False) -> Arguments:
    """Return what the arguments of a function obey.

    Args:
        schema: As for `schema_grammar`, of objects.
        param: The parameter it came with, for the error.
        lenient: Loosen what cannot be enforced instead of refusing it.

    Raises:
        BadRequestError: As `schema_grammar` does, or it is not the schema of an object.
    """
    kind = LENIENT if lenient else STRICT
    return _known(kind, schema, param, lambda text: compiled_arguments(text, kind), lambda made: made.size_bytes)


def rules_of(functions: Iterable[Arguments], param: str) -> str:
    """Return the rules of all functions of a request.

    Args:
        functions: What the arguments of each obey.
        param: The parameter they came with, for the error.

    Raises:
        BadRequestError: Together they are too large.
    """
    lines: Mapping[str, str] = {name: line for one in functions for name, line in one.lines.items()}
    text = joined(lines)
    if len(text) > MAX_CHARACTERS:
        raise bad_request(
            param,
            f"{param} have schemas whose grammars are {len(text)} characters together, "
            f"but at most {MAX_CHARACTERS} are supported",
        )
    return text


def _known(kind: str, schema: object, param: str, make: Callable[[str], _T], size_bytes: Callable[[_T], int]) -> _T:
    text = schema_text(schema, param)
    outcome = outcomes.get(kind, text)
    if outcome is None:
        try:
            made = make(text)
            outcomes.put(kind, text, made, size_bytes(made))
            return made
        except RecursionError:
            outcome = TooLarge("#", "it nests too deep")
        except Refused as refused:
            outcome = refused.with_traceback(None)
        outcomes.put(kind, text, outcome, 0)
    if isinstance(outcome, Refused):
        message = f"{param}: the schema cannot be enforced: {outcome.message} (at {outcome.place})"
        raise bad_request(param, message)
    return cast("_T", outcome)

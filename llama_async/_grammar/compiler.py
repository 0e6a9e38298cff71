"""The way in: a schema -> its grammar (GBNF), or an error that names what cannot be enforced."""

from __future__ import annotations

import json

from llama_async._errors import bad_request

from .known import outcomes, schema_text
from .values import Refused, TooLarge
from .writer import Writer

__all__ = ["schema_grammar"]


def schema_grammar(schema: object, param: str) -> str:
    """Return the grammar (GBNF) of a schema. Cached by content.

    Args:
        schema: Any JSON schema of draft 2020-12, or an older one as far as they agree.
        param: The parameter it came with, for the error.

    Raises:
        BadRequestError: It is no schema, is too large, or has a keyword that cannot be enforced.
    """
    outcome = _compiled(schema_text(schema, param))
    if isinstance(outcome, Refused):
        message = f"{param}: the schema cannot be enforced: {outcome.message} (at {outcome.place})"
        raise bad_request(param, message)
    return outcome


def _compiled(text: str) -> str | Refused:
    outcome = outcomes.get(text)
    if outcome is None:
        try:
            outcome = Writer(json.loads(text)).text()
        except RecursionError:
            outcome = TooLarge("#", "it nests too deep")
        except Refused as refused:
            outcome = refused.with_traceback(None)
        outcomes.put(text, outcome)
    return outcome

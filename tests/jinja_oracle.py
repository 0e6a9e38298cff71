"""Chat templates as Jinja2 renders them, in the environment that Hugging Face's transformers documents for them."""

from __future__ import annotations

import datetime as dt
import json
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment, SecurityError

__all__ = ["Refused", "render"]


class Refused(Exception):
    """The template calls raise_exception, or cannot be rendered."""


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what training counts; a prompt shows what is in it."""

    tags = {"generation"}  # noqa: RUF012 (jinja2's own declaration)

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return dt.datetime.now().strftime(form)  # noqa: DTZ005 (local time, as transformers)


def _environment(kind: type[SandboxedEnvironment]) -> SandboxedEnvironment:
    environment = kind(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.globals.update(raise_exception=_raise, strftime_now=_now)
    return environment


_IMMUTABLE = _environment(ImmutableSandboxedEnvironment)
# Kimi's templates append to lists of their own.
_MUTABLE = _environment(SandboxedEnvironment)


@lru_cache(maxsize=256)
def _compiled(environment: SandboxedEnvironment, source: str) -> jinja2.Template:
    return environment.from_string(source)


def render(source: str, **variables: Any) -> str:
    """Return the prompt.

    Raises:
        Refused: There is none.
    """
    try:
        try:
            return _compiled(_IMMUTABLE, source).render(**variables)
        except SecurityError:
            return _compiled(_MUTABLE, source).render(**variables)
    except (jinja2.TemplateError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise Refused(str(error)) from error

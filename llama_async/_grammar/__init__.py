"""Schemas of JSON -> grammars that llama.cpp's engine obeys (docs/design.md, "Structured output").

    compiler     the way in: bounds, errors, and what is known already
    document     where references lead
    reader       keywords -> shapes (`shape`), by `keywords` and, where a schema must not hold, `denial`
    writer       shapes -> rules, by `strings`, `numbers`, `arrays`, `objects`; `listed` values are looked at one by one
    text         strings and values of JSON, white space; `members`: what stands between brackets
    automaton    several patterns (`pattern`, `formats`) of one string, over sets of `characters`
    gbnf         rules, and how they are written

Everything here is pure: no engine, no event loop, and nothing of the API. Nothing is imported from here itself, so that
a program without schemas does not pay for it.
"""

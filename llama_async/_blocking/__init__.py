"""The blocking twin: `Llama` and its resources, each a thin cover of its async counterpart.

`_base` is written by hand; `client` and `resources` are written by `tools/gen_blocking.py` from the async modules, so
that signatures cannot drift apart. All calls go through one event loop in a thread of its own (`_portal`).
"""

"""Module-level `__getattr__` for packages that only re-export: each name is imported when first looked up.

Knows nothing of what is exported. Type checkers do not run it; they read the imports under `TYPE_CHECKING` beside it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy_exports(
    package: str, exports: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for `package`.

    Args:
        package: Its full name.
        exports: For each of its modules, by relative name, the names taken from it; modules elsewhere by full name.
            Other submodules need no entry: they too become attributes at first use, as if the package had imported
            them.
    """
    root = package.partition(".")[0] + "."
    module_of = {
        name: module if module.startswith(root) else f"{package}.{module}"
        for module, names in exports.items()
        for name in names
    }
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name in module_of:
            namespace[name] = value = getattr(import_module(module_of[name]), name)
            return value
        if not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted({*namespace, *module_of})

    return get, names

"""Copy upstream's `common/` into a build directory and put our lines into the copy: apply.py COMMON TARGET.

The source itself is never touched: it is shared by all builds, or is somebody's checkout. Files that come out as they
already are keep their time, so that nothing is compiled twice. Exit status 1, with the reason, where an edit does not
fit the source. Standard library only.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edits import EDITS, Edit

SUFFIXES = (".h", ".hpp", ".cpp", ".in")


class PatchError(Exception):
    """The edits do not fit this source."""


def edited(source: str, edit: Edit) -> str:
    n_found = source.count(edit.anchor)
    if n_found != edit.count:
        raise PatchError(
            f"common/{edit.file}: the text {edit.anchor!r} stands there {n_found} times, expected {edit.count}. Our "
            "limits (llama.cpp/patches/edits.py) fit another version of llama.cpp: adapt them (llama.cpp/README.md)"
        )
    if edit.where == "before":
        return source.replace(edit.anchor, f"{edit.lines}\n{edit.anchor}")
    if edit.where == "after":
        return source.replace(edit.anchor, f"{edit.anchor}\n{edit.lines}\n")
    return source.replace(edit.anchor, edit.lines)


def apply(common: Path, target: Path) -> None:
    """Make `target` a copy of `common` with every edit in it."""
    edits: dict[str, list[Edit]] = {}
    for edit in EDITS:
        edits.setdefault(edit.file, []).append(edit)
    files = {path.relative_to(common).as_posix(): path for path in common.rglob("*") if path.suffix in SUFFIXES}
    if missing := edits.keys() - files.keys():
        raise PatchError(f"{min(missing)}: no such file in {common}")
    for old in target.rglob("*"):
        if old.is_file() and old.relative_to(target).as_posix() not in files:
            old.unlink()
    for name, path in files.items():
        content = path.read_bytes()
        for edit in edits.get(name, ()):
            content = edited(content.decode("utf-8"), edit).encode("utf-8")
        copy = target / name
        if not copy.is_file() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)


def main() -> int:
    common, target = map(Path, sys.argv[1:])
    try:
        apply(common, target)
    except PatchError as error:
        print(f"llama.cpp: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write the blocking twins of the client and its resources from the async modules: `nox -s gen`.

For every class `AsyncX` of `llama_async/resources` and for `AsyncLlama`, a class `X` with the same methods, whose
signatures lose `async` and whose bodies hand the arguments to the async method. What is no thin cover (streams, pages,
opening and closing) is written by hand in `llama_async/_blocking/_base.py`.

    python tools/gen_blocking.py [--check]
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "llama_async"
TARGET = PACKAGE / "_blocking"
WIDTH = 120

# Methods of AsyncLlama that `_base.BlockingClient` has, or that make no sense in a blocking client.
CLIENT_BY_HAND = frozenset({"as_openai", "close", "from_pretrained", "is_closed"})
CLIENT_WITHOUT = frozenset({"aclose"})
# Attributes that AsyncLlama sets in its constructor, and their types.
CLIENT_ATTRIBUTES = {
    "api_key": "str",
    "base_url": "str | URL",
    "max_retries": "int",
    "organization": "str | None",
    "project": "str | None",
    "timeout": "float | Timeout | NotGiven | None",
}
# The module of the responses around results, which needs nothing but other names, and its twin.
RAW = PACKAGE / "resources" / "raw.py"
RAW_TWIN = "llama_async._blocking.resources.raw"
RENAMED = {"AsyncPage": "SyncPage", "AsyncCursorPage": "SyncCursorPage", "AsyncAPIResource": "SyncAPIResource"}
# Names that come from elsewhere than the async module's import says.
BASE_NAMES = frozenset({"Stream", "SyncAPIResource"})
# The beginning of its documentation; the arguments' is AsyncLlama's, but for these phrases.
CLIENT_DOC = """\
Local GGUF models behind the methods of `openai.OpenAI`: `AsyncLlama` for code that blocks.

Any number of threads may use a client at once. Nothing is loaded before `with`, `client.load()` or the first
request; the work is done by an event loop in a thread of the client's own, which starts then. KeyboardInterrupt
ends the call that it interrupts, and its request. In a thread that runs an event loop (a notebook's) calls work,
and hold that loop up.
"""
CLIENT_PHRASES = (
    ("Called in the event loop with", "Called in its own thread with"),
    ("Callable[[], Awaitable[str]]", "Callable[[], str]"),
)


def renamed(name: str) -> str:
    return RENAMED.get(name) or re.sub(r"^Async(?=[A-Z])", "", name)


class Translate(ast.NodeTransformer):
    """Turns an annotation of an async method into that of its twin."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "AsyncPaginator":
            assert isinstance(node.slice, ast.Tuple)
            return self.visit(node.slice.elts[1])
        if isinstance(node.value, ast.Name) and node.value.id == "Awaitable":
            return self.visit(node.slice)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = renamed(node.id)
        return node


def translated(annotation: ast.expr) -> str:
    return ast.unparse(Translate().visit(ast.parse(ast.unparse(annotation), mode="eval").body))


class Module:
    """One async module, being turned into its twin."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.lines = self.text.splitlines()
        self.tree = ast.parse(self.text)
        # Names the twin's text uses, by whether they must exist at run time.
        self.used: dict[str, bool] = {}

    def classes(self) -> list[ast.ClassDef]:
        return [node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name.startswith("Async")]

    # -- methods

    def use(self, source: str, *, at_run_time: bool) -> str:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Name):
                self.used[node.id] = self.used.get(node.id, False) or at_run_time
        return source

    def signature(self, method: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
        """The lines from `def` to the colon."""
        assert method.returns is not None, (self.path, method.name)
        returns = self.use(translated(method.returns), at_run_time=False)
        args = method.args
        for argument in (*args.posonlyargs, *args.args, *args.kwonlyargs):
            if argument.annotation is not None:
                self.use(translated(argument.annotation), at_run_time=False)
        for default in (*args.defaults, *args.kw_defaults):
            if default is not None:
                self.use(ast.unparse(default), at_run_time=True)
        first, last = method.lineno - 1, method.returns.end_lineno
        assert last is not None
        lines = [re.sub(r"  # noqa.*$", "", line) for line in self.lines[first:last]]
        lines[0] = re.sub(r"\basync def\b", "def", lines[0], count=1)
        lines[:-1] = [self.rename_in(line) for line in lines[:-1]]
        head, arrow, _ = lines[-1].rpartition(") -> ")
        assert arrow, (self.path, method.name, lines[-1])
        lines[-1] = f"{head}) -> {returns}:"
        return lines

    @staticmethod
    def rename_in(line: str) -> str:
        line = re.sub(r"\bAwaitable\[(\w+)\]", r"\1", line)
        return re.sub(r"\bAsync[A-Z]\w*", lambda match: renamed(match[0]), line)

    def method(self, owner: str, method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
        decorators = [ast.unparse(node) for node in method.decorator_list]
        for decorator in decorators:
            self.use(decorator.partition(".")[0], at_run_time=True)
            yield f"    @{decorator}"
        signature = self.signature(method)
        if "overload" in decorators:
            signature[-1] += " ..."
            yield from signature
            return
        yield from signature
        assert method.returns is not None
        returns = translated(method.returns)
        if decorators and decorators[0].endswith(".setter"):
            yield f"        self._wrapped.{method.name} = {method.args.args[1].arg}"
            return
        if "cached_property" in decorators and method.name.startswith("with_"):
            yield from self.docstring(None, ast.get_docstring(method))
            yield f"        from {RAW_TWIN} import {returns}"
            yield ""
            yield f"        return {returns}(self)"
            return
        if "cached_property" in decorators:
            yield from self.docstring(None, ast.get_docstring(method))
            self.use(returns, at_run_time=True)
            client = "self" if owner == "AsyncLlama" else "self._client"
            yield f"        return {returns}({client}, self._wrapped.{method.name})"
            return
        if "property" in decorators:
            yield from self.docstring(None, ast.get_docstring(method))
            yield f"        return self._wrapped.{method.name}"
            return
        yield from self.docstring(f"{owner}.{method.name}", ast.get_docstring(method))
        names = [argument.arg for argument in (*method.args.posonlyargs, *method.args.args)][1:]
        names += [argument.arg for argument in method.args.kwonlyargs]
        call = [f'"{method.name}"', *(f"{name}={name}" for name in names)]
        result = "" if returns == "None" else f"result: {returns} = "
        yield from statement(f"        {result}self._call(", call)
        if result:
            yield "        return result"

    def docstring(self, twin: str | None, text: str | None) -> Iterator[str]:
        if text is None:
            return
        first = " ".join(text.split("\n\n")[0].split())
        if re.search(r"\bawait|\basync\b", first):
            first = re.split(r"(?<=\.) ", first)[0]
        assert not re.search(r"\bawait|\basync\b", first), (self.path, first)
        if twin is None:
            yield f'        """{first}"""'
            return
        yield from filled(f'"""{first}', "        ")
        yield ""
        yield f"        Blocks until that is done, else as `{twin}`."
        yield '        """'

    # -- the module

    def cover(self) -> str:
        """The twin's text."""
        body: list[str] = []
        for node in self.classes():
            body += ["", "", *self.class_of(node)]
        names = sorted(f'"{renamed(node.name)}"' for node in self.classes())
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id.startswith("Async"):
                other = renamed(ast.unparse(node.targets[0]))
                body += ["", "", f"# openai's other name of it.\n{other} = {renamed(node.value.id)}"]
                names = sorted([*names, f'"{other}"'])
        source = self.path.relative_to(ROOT).as_posix()
        doc = (ast.get_docstring(self.tree) or "").split("\n")[0].replace("AsyncLlama", "Llama")
        doc = re.sub(r"\.$", "", doc)
        doc = f'"""{doc}.'
        lines = [doc, "", f'Written by tools/gen_blocking.py from {source}."""'.replace('"""', '\n"""', 1)]
        lines += ["", "from __future__ import annotations", ""]
        lines += self.imports({renamed(node.name) for node in self.classes()})
        lines += [f"__all__ = [{', '.join(names)}]", *body]
        return "\n".join(lines) + "\n"

    def class_of(self, node: ast.ClassDef) -> Iterator[str]:
        bases = [renamed(ast.unparse(base)) for base in node.bases]
        if node.name == "AsyncLlama":
            bases = ["BlockingClient"]
        for base in bases:
            self.use(base, at_run_time=True)
        yield f"class {renamed(node.name)}({', '.join(bases)}):"
        text = ast.get_docstring(node)
        if text is not None:
            text = client_doc(text) if node.name == "AsyncLlama" else text.split("\n\n")[0]
            assert not re.search(r"\bawait|\basync\b", text), (self.path, text)
            lines = text.split("\n")
            yield f'    """{lines[0]}' + ('"""' if len(lines) == 1 else "")
            yield from (f"    {line}".rstrip() for line in lines[1:])
            if len(lines) > 1:
                yield '    """'
        for item in node.body:
            if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if item.name == "__init__" and node.name == "AsyncLlama":
                    yield from ("", *self.constructor(item))
                elif self.is_wanted(node, item):
                    yield from ("", *self.method(node.name, item))
            elif isinstance(item, ast.Assign) and isinstance(item.value, ast.Name):
                (target,) = item.targets
                yield from ("", f"    {ast.unparse(target)} = {ast.unparse(item.value)}")

    @staticmethod
    def is_wanted(node: ast.ClassDef, item: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        if node.name == "AsyncLlama" and item.name in CLIENT_BY_HAND | CLIENT_WITHOUT:
            return False
        return not item.name.startswith("_") or item.name == "__call__"

    def constructor(self, method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
        yield from self.signature(method)
        names = [argument.arg for argument in method.args.args][1:]
        names += [f"{argument.arg}={argument.arg}" for argument in method.args.kwonlyargs]
        self.use("Wrapped", at_run_time=True)
        yield "        self._cover("
        yield "            Wrapped("
        # What is called back is called by a blocking client's user as a plain function.
        plain = {argument.arg for argument in method.args.kwonlyargs if "Awaitable" in ast.dump(argument)}
        for name in names:
            key = name.partition("=")[0]
            if key in plain:
                self.use("cast", at_run_time=True)
                self.use("Any", at_run_time=False)
                yield f'                {key}=cast("Any", {key}),'
            else:
                yield f"                {name},"
        yield "            )"
        yield "        )"
        for node in ast.walk(method):
            if not isinstance(node, (ast.Assign, ast.AnnAssign)):
                continue
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                name = target.attr if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self" else "_"
                if not name.startswith("_") and not self.has_property(name):
                    annotation = self.use(CLIENT_ATTRIBUTES[name], at_run_time=False)
                    yield ""
                    yield "    @property"
                    yield f"    def {name}(self) -> {annotation}:"
                    yield f'        """As `AsyncLlama.{name}`."""'
                    yield f"        return self._wrapped.{name}"
                    yield ""
                    yield f"    @{name}.setter"
                    yield f"    def {name}(self, {name}: {annotation}) -> None:"
                    yield f"        self._wrapped.{name} = {name}"

    def has_property(self, name: str) -> bool:
        return any(
            isinstance(node, ast.FunctionDef) and node.name == name and node.decorator_list
            for node in ast.walk(self.tree)
        )

    def imports(self, own: set[str]) -> list[str]:
        """The imports of what the twin uses, from where the async module has it."""
        depth = len(self.path.relative_to(PACKAGE).parts) - 1
        at_run_time: dict[str, set[str]] = {}
        for_checkers: dict[str, set[str]] = {}
        plain: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                plain |= {alias.name for alias in node.names if alias.name in self.used}
            if not isinstance(node, ast.ImportFrom):
                continue
            for alias in node.names:
                name = renamed(alias.asname or alias.name)
                if name not in self.used or name in own or (alias.asname and alias.asname != alias.name):
                    continue
                module = "." * node.level + (node.module or "")
                if module.endswith("resources.raw"):
                    module = RAW_TWIN
                elif name in BASE_NAMES:
                    module = "llama_async._blocking._base"
                elif module.startswith("llama_async.resources"):
                    module = module.replace("llama_async.resources", "llama_async._blocking.resources", 1)
                elif module.split(".")[1:2] != ["resources"] and node.level == 1 and depth == 0:
                    module = f"llama_async.{node.module}"
                (at_run_time if self.used[name] else for_checkers).setdefault(module, set()).add(name)
        for name in ("BlockingClient", "Wrapped"):
            if name in self.used:
                at_run_time.setdefault("llama_async._blocking._base", set()).add(name)
        if "cast" in self.used:
            at_run_time.setdefault("typing", set()).add("cast")
            for_checkers.setdefault("typing", set()).add("Any")
        checked = bool(plain or for_checkers)
        if checked:
            at_run_time.setdefault("typing", set()).add("TYPE_CHECKING")
        result = list(grouped(set(), at_run_time))
        if checked:
            result += ["if TYPE_CHECKING:", *(f"    {line}" if line else "" for line in grouped(plain, for_checkers))]
        return result


def grouped(plain: set[str], modules: dict[str, set[str]]) -> Iterator[str]:
    """Import lines in the order that ruff wants, each group followed by an empty line."""

    def group(module: str) -> int:
        if module.startswith("."):
            return 3
        root = module.partition(".")[0]
        return 2 if root == "llama_async" else 0 if root in sys.stdlib_module_names else 1

    for wanted in range(4):
        lines = [f"import {name}" for name in sorted(plain) if group(name) == wanted]
        for module in sorted((name for name in modules if group(name) == wanted), key=str.lower):
            names = sorted(modules[module], key=lambda name: (not name.isupper(), not name[0].isupper(), name))
            line = f"from {module} import {', '.join(names)}"
            if len(line) + 4 <= WIDTH:
                lines.append(line)
            else:
                lines += [f"from {module} import (", *(f"    {name}," for name in names), ")"]
        if lines:
            yield from (*lines, "")


def statement(head: str, arguments: list[str]) -> Iterator[str]:
    line = f"{head}{', '.join(arguments)})"
    if len(line) <= WIDTH:
        yield line
        return
    yield head
    yield from (f"            {argument}," for argument in arguments)
    yield "        )"


def filled(text: str, indent: str) -> Iterator[str]:
    line = indent
    for word in text.split(" "):
        if len(line) + len(word) + 1 > WIDTH and line.strip():
            yield line
            line = indent
        line += word if line == indent else f" {word}"
    yield line


def client_doc(text: str) -> str:
    _, args, rest = text.partition("\nArgs:\n")
    assert args
    for theirs, ours in CLIENT_PHRASES:
        rest = rest.replace(theirs, ours)
    return f"{CLIENT_DOC}{args}{rest}"


def raw_twin() -> str:
    """The twin of RAW: the same text over the blocking resources and wrappers."""
    text = RAW.read_text(encoding="utf-8")
    doc, rest = text.split('"""', 2)[1:]
    rest = rest.replace("llama_async._client", "llama_async._blocking.client").replace("import async_to_", "import to_")
    rest = re.sub(r"\bAsync[A-Z]\w*", lambda match: renamed(match[0]), rest)
    source = RAW.relative_to(ROOT).as_posix()
    return f'"""{doc.split(chr(10))[0]}\n\nWritten by tools/gen_blocking.py from {source}.\n"""{rest}'


def package_init(path: Path) -> str | None:
    """The twin of a package's `__init__`: the same names without Async."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [
        (node.module, [renamed(alias.name) for alias in node.names if alias.name.startswith("Async")])
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
    ]
    imports = [(module, names) for module, names in imports if names]
    if not imports:
        return None
    names = sorted(name for _, found in imports for name in found)
    source = path.relative_to(ROOT).as_posix()
    lines = [f'"""Written by tools/gen_blocking.py from {source}."""', ""]
    lines += [f"from .{module} import {', '.join(sorted(found))}" for module, found in imports]
    exported = f"__all__ = [{', '.join(repr(name).replace(chr(39), chr(34)) for name in names)}]"
    if len(exported) > WIDTH:
        exported = "\n".join(["__all__ = [", *(f'    "{name}",' for name in names), "]"])
    lines += ["", exported]
    return "\n".join(lines) + "\n"


def outputs() -> Iterator[tuple[Path, str]]:
    yield TARGET / "client.py", Module(PACKAGE / "_client.py").cover()
    for path in sorted((PACKAGE / "resources").rglob("*.py")):
        target = TARGET / path.relative_to(PACKAGE)
        if path.name == "__init__.py":
            text = package_init(path)
        else:
            module = Module(path)
            text = raw_twin() if path == RAW else module.cover() if module.classes() else None
        if text is not None:
            yield target, text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    check = parser.parse_args().check
    wanted = dict(outputs())
    there = {path for path in TARGET.rglob("*.py") if path.parent != TARGET or path.name == "client.py"}
    stale = [path for path in there if path not in wanted]
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale + changed:
        print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}")
    if check:
        return 1 if stale or changed else 0
    for path in stale:
        path.unlink()
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

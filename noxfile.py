"""Every task of the project: `pip install nox && nox -s demo`, `nox -s tests`, `nox -l` for the rest.

One wheel is built for each configuration, in a build directory that is kept, and installed into each session: what
is tested is what a user gets.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "build"
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
BACKENDS = ("cpu", "blas", "vulkan", "cuda", "metal", "hip", "sycl", "rpc")

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests", "lint", "types"]
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True


# -- tasks ----------------------------------------------------------------------------------------------------------


@nox.session
def demo(session: nox.Session) -> None:
    """Build, install, fetch the default model and stream an answer."""
    install_wheel(session)
    run_outside(session, "llama-async", "demo", *session.posargs)


@nox.session
def doctor(session: nox.Session) -> None:
    """What was built, what this machine offers, and a self-test."""
    install_wheel(session)
    run_outside(session, "llama-async", "doctor", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Build, install and run the Python tests on the real model."""
    install_wheel(session, "test", "integrations")
    fetch_model(session)
    session.run("pytest", *session.posargs)


@nox.session
def page(session: nox.Session) -> None:
    """The chat page in headless Chromium: Debian's package `chromium`, or the program that CHROMIUM names."""
    programs = [os.environ.get("CHROMIUM"), shutil.which("chromium"), shutil.which("chromium-browser")]
    if not any(programs):
        session.error("there is no Chromium: apt-get install chromium, or set CHROMIUM to where one is")
    install_wheel(session, "test", "page")
    fetch_model(session)
    session.run("pytest", "tests/test_page.py", *session.posargs)


@nox.session
def node(session: nox.Session) -> None:
    """openai's package for Node.js and the Vercel AI SDK against the server."""
    if not (shutil.which("node") and shutil.which("npm")):
        session.skip("there is no Node.js: it needs node (20 or newer) and npm")
    install_wheel(session, "test")
    fetch_model(session)
    session.run("pytest", "tests/test_node.py", *session.posargs, env={"LLAMA_ASYNC_NODE": str(BUILD / "node")})


@nox.session
def lint(session: nox.Session) -> None:
    """ruff, and the layers by import-linter."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", env={"PYTHONPATH": str(ROOT)})


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict over the package and, where they are there, its examples."""
    session.install(*PYPROJECT["project"]["dependencies"], *group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def native(session: nox.Session) -> None:
    """The C++ tests of the core."""
    session.install("pip")
    ctest(session, "native", fetch_model(session))


@nox.session
def asan(session: nox.Session) -> None:
    """The C++ tests under AddressSanitizer, ggml instrumented too."""
    ctest(session, "asan", tiny_model(session), "-DLLAMA_ASYNC_SANITIZE=address", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")


@nox.session
def tsan(session: nox.Session) -> None:
    """The C++ tests under ThreadSanitizer, ggml instrumented too."""
    ctest(session, "tsan", tiny_model(session), "-DLLAMA_ASYNC_SANITIZE=thread", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Search for hostile input: nox -s fuzz -- [SECONDS [TARGET ...]]. libFuzzer with clang, else mutations of ours.

    The target `requests` is hypothesis, from Python through the whole engine.
    """
    seconds, *names = session.posargs or ["60"]
    names = names or ["template", "chat", "grammar", "schema", "answer", "tools", "trigger", "requests"]
    if "requests" in names:
        names.remove("requests")
        install_wheel(session, "test")
        examples = {"LLAMA_ASYNC_FUZZ_EXAMPLES": str(int(seconds) * 10)}  # of each of five tests
        session.run("pytest", "--timeout=0", "tests/test_fuzz.py", env=examples)
    if not names:
        return
    clang = {name: shutil.which(name) for name in ("clang", "clang++")}
    libfuzzer = all(clang.values())
    options = ["-DLLAMA_ASYNC_SANITIZE=address", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    if libfuzzer:
        options += ["-DLLAMA_ASYNC_FUZZ=ON", f"-DCMAKE_C_COMPILER={clang['clang']}"]
        options += [f"-DCMAKE_CXX_COMPILER={clang['clang++']}"]
    model = tiny_model(session)
    target = "fuzz_targets" if libfuzzer else "fuzz_test"
    directory = cmake(session, "fuzz", model, target, *options)
    environment = {"LLAMA_ASYNC_TEST_MODEL": model}
    for name in names:
        corpus = BUILD / "fuzz-corpus" / name
        corpus.mkdir(parents=True, exist_ok=True)
        environment["LLAMA_ASYNC_FUZZ_TARGET"] = name
        program = [*without_aslr(), str(directory / "_native" / target)]
        if not libfuzzer:
            session.run(*program, name, str(int(seconds) * 50), str(time.time_ns()), env=environment, external=True)
            continue
        session.run(*program, env={**environment, "LLAMA_ASYNC_FUZZ_SEEDS": str(corpus)}, external=True)
        limits = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=60", "-rss_limit_mb=4096"]
        places = [f"-dict={corpus}.dict", f"-artifact_prefix={corpus}-finding-", str(corpus)]
        session.run(*program, *limits, *places, env=environment, external=True)


@nox.session
def gen(session: nox.Session) -> None:
    """Write anew what is generated: CFFI declarations from the headers, blocking modules from the async ones."""
    session.run("python", "_native/ffi/gen.py", *session.posargs)
    session.run("python", "tools/gen_blocking.py")


@nox.session(name="gen-check")
def gen_check(session: nox.Session) -> None:
    """Fail if what is committed is not what `gen` writes."""
    session.run("python", "_native/ffi/gen.py", "--check")
    session.run("python", "tools/gen_blocking.py", "--check")


@nox.session
def build(session: nox.Session) -> None:
    """Build a wheel of each named backend into dist/: nox -s build -- vulkan [-C cmake.define.NAME=VALUE ...]."""
    names = [word for word in session.posargs if word in BACKENDS] or ["cpu"]
    options = [word for word in session.posargs if word not in BACKENDS]
    for name in names:
        wheel = build_wheel(session, name, *options)
        target = ROOT / "dist" / name / wheel.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(wheel, target)
        session.log(f"built {target.relative_to(ROOT)} ({target.stat().st_size / 2**20:.1f} MiB)")


@nox.session
def bench(session: nox.Session) -> None:
    """A benchmark: beside llama_decode alone, or the one that is named first, such as `-- compare --install`."""
    install_wheel(session, "test")
    fetch_model(session)
    name, *options = session.posargs or ["bench"]
    if not (ROOT / "benchmarks" / f"{name}.py").is_file():
        name, options = "bench", session.posargs
    session.run("python", f"benchmarks/{name}.py", *options)


@nox.session(venv_backend="none")
def dev(session: nox.Session) -> None:
    """Make .venv for working on the code: an editable install that compiles what changed when it is imported."""
    python = str(ROOT / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))
    if not Path(python).exists():
        session.run(sys.executable, "-m", "venv", str(ROOT / ".venv"))
    tools = [tool for tool in ("cmake", "ninja") if shutil.which(tool) is None]
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    session.run(*pip, *PYPROJECT["build-system"]["requires"], *tools, *group("dev"))
    session.run(*pip, "--no-build-isolation", "-C", "editable.rebuild=true", "-v", "-e", ".")


# -- how ------------------------------------------------------------------------------------------------------------


def group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PYPROJECT, name))


def build_wheel(session: nox.Session, backend: str = "cpu", *options: str) -> Path:
    """One wheel of a backend; compiles only what changed since the last time."""
    wheels = BUILD / "wheels" / backend
    shutil.rmtree(wheels, ignore_errors=True)
    command = ["-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(wheels), "--disable-pip-version-check"]
    if backend != "cpu":  # "cpu" shares the directory of a plain `pip install .`
        command += ["-C", f"build-dir=build/{backend}-{{wheel_tag}}"]
        command += ["-C", f"cmake.define.LLAMA_ASYNC_BACKEND={backend}"]
    if session.interactive:
        command.append("-v")  # minutes of silence otherwise
    # One interpreter for all sessions: the build directory remembers it, and compiles again when it changes.
    python = sys.executable if importlib.util.find_spec("pip") else "python"
    session.run(python, *command, *options, ".", external=True)
    (wheel,) = wheels.glob("*.whl")
    return wheel


def install_wheel(session: nox.Session, *groups: str) -> None:
    wheel = build_wheel(session)
    session.install(*[requirement for name in groups for requirement in group(name)], str(wheel))
    # The version stays the same while the code changes.
    session.install("--force-reinstall", "--no-deps", str(wheel))


def run_outside(session: nox.Session, *command: str) -> None:
    """Run where the source tree, which has no extension, does not hide the installed package."""
    with session.chdir(session.create_tmp()):
        session.run(*command)


def fetch_model(session: nox.Session) -> str:
    """Fetch the default model if need be and return its path. Needs nothing installed but pip."""
    code = "from llama_async._default_model import default_model_path; print(default_model_path())"
    command, environment = ["python", "-c", code], {"PYTHONPATH": str(ROOT)}
    with session.chdir(session.create_tmp()):
        session.run(*command, env=environment)  # shows pip's progress bar
        path = session.run(*command, env=environment, silent=True)
    return str(path).strip()


def tiny_model(session: nox.Session) -> str:
    """Write a model of random weights and return its path: under a sanitizer the default one takes an hour."""
    session.install(*[name for name in group("test") if name.startswith(("gguf", "numpy"))])
    path = BUILD / "tiny.gguf"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    code = f"from pathlib import Path; from tiny_models import tiny_llama; tiny_llama(Path({str(path)!r}))"
    session.run("python", "-c", code, env={"PYTHONPATH": str(ROOT / "tests" / "tools")})
    return str(path)


def cmake(session: nox.Session, name: str, model: str, target: str, *options: str) -> Path:
    """Configure build/NAME and build a target there. A C or C++ compiler comes from CC and CXX."""
    tools = [tool for tool in ("cmake", "ninja") if shutil.which(tool) is None]
    if tools:
        session.install(*tools)
    directory = BUILD / name
    session.run(
        "cmake", "-S", str(ROOT), "-B", str(directory), "-G", "Ninja", "-DLLAMA_ASYNC_TESTS=ON",
        f"-DLLAMA_ASYNC_TEST_MODEL={model}", *options, external=True,
    )  # fmt: skip
    session.run("cmake", "--build", str(directory), "--target", target, external=True)
    return directory


def ctest(session: nox.Session, name: str, model: str, *options: str) -> None:
    """Build and run the C++ tests in build/NAME."""
    directory = cmake(session, name, model, "all", *options)
    run = ["ctest", "--test-dir", str(directory), "--output-on-failure", "--no-tests=error", *session.posargs]
    session.run(*without_aslr(), *run, external=True)


def without_aslr() -> list[str]:
    """The sanitizers' shadow memory collides with the wide address randomization of newer kernels."""
    command = ["setarch", platform.machine(), "--addr-no-randomize"]
    if shutil.which("setarch") is None or subprocess.call([*command, "true"], stderr=subprocess.DEVNULL) != 0:
        return []
    return command


if "LLAMA_ASYNC_CACHE_DIR" in os.environ:  # sessions change directory
    os.environ["LLAMA_ASYNC_CACHE_DIR"] = str(Path(os.environ["LLAMA_ASYNC_CACHE_DIR"]).resolve())

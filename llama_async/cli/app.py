"""The commands, their flags and their help. What they do is imported when one is called: `--help` comes at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from llama_async._commands import QUESTION
from llama_async._version import __version__

from .terminal import FAILED, INTERRUPTED, answers, escaped, fail, messages, size, status_of

__all__ = ["main"]

PROGRAM = "llama-async"

app = typer.Typer(
    name=PROGRAM,
    help="Local GGUF models: chat, answer from a pipe, serve the OpenAI API, fetch models.",
    no_args_is_help=True,
    # Frames are for people; and rich takes half of the time that --help takes.
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    # Where something of ours breaks, the plain traceback says more than a frame around it.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(no_args_is_help=True, help="List, inspect and remove the models that are in the cache.")
app.add_typer(models_app, name="models")

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
_MODEL_HELP = (
    "A GGUF file, OWNER/REPO[:QUANT or GLOB], hf://OWNER/REPO[@REVISION][/FILE], a URL, or 'default' "
    "(SmolLM2-135M-Instruct, 98 MB)."
)


def _cached_models(incomplete: str) -> list[str]:
    """Complete the name of a model from what is in the cache."""
    from .inventory import inventory

    return [entry.name for entry in inventory() if entry.name.startswith(incomplete)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name=PROGRAM)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else FAILED if done.code else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Local GGUF models: chat, answer from a pipe, serve the OpenAI API, fetch models."""


_MODEL_ARGUMENT = typer.Argument(metavar="MODEL", help=_MODEL_HELP, autocompletion=_cached_models)
_CACHED_ARGUMENT = typer.Argument(
    metavar="MODEL", help="As `models list` shows it, or a GGUF file.", autocompletion=_cached_models
)
_CACHED_ARGUMENTS = typer.Argument(
    metavar="MODEL...", help="As `models list` shows them.", autocompletion=_cached_models
)


# -- answers

_Model = Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help=_MODEL_HELP, autocompletion=_cached_models)]
_System = Annotated[Optional[str], typer.Option("--system", "-s", help="Instructions for the model.")]
_MaxTokens = Annotated[Optional[int], typer.Option("--max-tokens", "-n", help="Longest answer, in tokens.")]
_Temperature = Annotated[Optional[float], typer.Option("--temperature", "-t", help="0: always the most likely token.")]
_TopP = Annotated[Optional[float], typer.Option("--top-p", help="Choose among the likeliest that make up this much.")]
_Seed = Annotated[Optional[int], typer.Option("--seed", help="The same seed gives the same answer.")]
_Ctx = Annotated[Optional[int], typer.Option("--ctx", "-c", help="Longest context of a request, in tokens.")]
_Threads = Annotated[Optional[int], typer.Option("--threads", help="Threads that compute; default: all cores.")]
_GpuLayers = Annotated[Optional[int], typer.Option("--gpu-layers", help="Layers on the GPU; default: all that fit.")]
_Tune = Annotated[
    Optional[bool], typer.Option("--tune/--no-tune", help="Measure what is fastest here when a model is first loaded.")
]
_Template = Annotated[
    Optional[str], typer.Option("--chat-template", help="A file with a Jinja template, or a format such as chatml.")
]


@app.command(rich_help_panel="Answers")
@status_of
def run(
    prompt: Annotated[
        Optional[str], typer.Argument(help="What to ask; - or nothing: all of standard input.", show_default=False)
    ] = None,
    model: _Model = "default",
    system: _System = None,
    as_json: Annotated[bool, typer.Option("--json", help="The answer is a JSON object.")] = False,
    schema: Annotated[
        Optional[Path], typer.Option("--schema", help="The answer is JSON that fits the JSON schema in this file.")
    ] = None,
    max_tokens: _MaxTokens = None,
    temperature: _Temperature = None,
    top_p: _TopP = None,
    seed: _Seed = None,
    stop: Annotated[Optional[list[str]], typer.Option("--stop", help="End before this text; repeatable.")] = None,
    thoughts: Annotated[bool, typer.Option("--thoughts", help="Show a model's thoughts on standard error.")] = False,
    stats: Annotated[bool, typer.Option("--stats", help="Counts and speed on standard error.")] = False,
    ctx: _Ctx = None,
    threads: _Threads = None,
    gpu_layers: _GpuLayers = None,
    tune: _Tune = None,
    chat_template: _Template = None,
    quiet: _Quiet = False,
) -> None:
    """Answer once, streaming, on standard output.

    What standard input brings stands below the prompt: llama-async run "Summarize:" < text.txt

    With --json or --schema an answer that is cut is a failure (exit status 1).
    """
    from .answering import answer, prompt_text, schema_format
    from .session import EngineFlags, sampling

    if as_json and schema is not None:
        raise typer.BadParameter("give one of --json and --schema", param_hint="--json")
    response_format = schema_format(schema) if schema is not None else {"type": "json_object"} if as_json else None
    messages_ = [{"role": "system", "content": system}] if system else []
    messages_.append({"role": "user", "content": prompt_text(prompt)})
    parameters = sampling(max_tokens, temperature, top_p, seed) | ({"stop": stop} if stop else {})
    answer(
        model,
        messages_,
        EngineFlags(ctx, threads, gpu_layers, chat_template, tune),
        parameters=parameters,
        response_format=response_format,
        show_stats=stats,
        show_thoughts=thoughts,
        quiet=quiet,
    )


@app.command(rich_help_panel="Answers")
@status_of
def chat(
    model: Annotated[str, _MODEL_ARGUMENT] = "default",
    system: _System = None,
    max_tokens: _MaxTokens = None,
    temperature: _Temperature = None,
    top_p: _TopP = None,
    seed: _Seed = None,
    plain: Annotated[bool, typer.Option("--plain", help="Show answers as they are, not as Markdown.")] = False,
    history: Annotated[bool, typer.Option(help="Remember what is typed, for the next time.")] = True,
    ctx: _Ctx = None,
    threads: _Threads = None,
    gpu_layers: _GpuLayers = None,
    tune: _Tune = None,
    chat_template: _Template = None,
    quiet: _Quiet = False,
) -> None:
    """Talk to a model. Ctrl-C ends an answer, Ctrl-D the conversation; /help says the rest.

    What is not typed at a terminal is read line by line, each line a message.
    """
    from .chatting import Chat
    from .line_input import history_file
    from .session import EngineFlags, loaded, sampling

    flags = EngineFlags(ctx, threads, gpu_layers, chat_template, tune)
    with loaded(model, flags, quiet=quiet, n_parallel=1) as client:
        Chat(
            client,
            parameters=sampling(max_tokens, temperature, top_p, seed),
            system=system,
            markdown=not plain,
            history=history_file() if history else None,
        ).run()


@app.command(rich_help_panel="Answers")
@status_of
def serve(
    model: Annotated[
        Optional[str],
        typer.Argument(
            metavar="MODEL", help=f"{_MODEL_HELP} Default: the configuration's.", autocompletion=_cached_models
        ),
    ] = None,
    config: Annotated[Optional[Path], typer.Option("--config", help="A TOML file of settings.")] = None,
    host: Annotated[Optional[str], typer.Option(help="Address to listen at; default: 127.0.0.1.")] = None,
    port: Annotated[Optional[int], typer.Option(help="Port; 0: any that is free. Default: 8080.")] = None,
    api_key: Annotated[
        Optional[list[str]], typer.Option(help="A key that requests must carry; repeatable. A file hides it better.")
    ] = None,
    api_key_file: Annotated[Optional[Path], typer.Option(help="A file of keys, one a line.")] = None,
    ssl_certfile: Annotated[
        Optional[Path], typer.Option(help="A certificate (PEM): it speaks TLS, and nothing else.")
    ] = None,
    ssl_keyfile: Annotated[
        Optional[Path], typer.Option(help="The certificate's key (PEM), where it lies in a file of its own.")
    ] = None,
    alias: Annotated[
        Optional[list[str]], typer.Option(help="A further name of the model; '*': any name; repeatable.")
    ] = None,
    parallel: Annotated[Optional[int], typer.Option("--parallel", "-p", help="Requests decoding at once.")] = None,
    ctx: _Ctx = None,
    threads: _Threads = None,
    gpu_layers: _GpuLayers = None,
    tune: _Tune = None,
    chat_template: _Template = None,
    cors_origin: Annotated[
        Optional[list[str]], typer.Option(help="A web site whose pages may ask; '*': all; repeatable.")
    ] = None,
    allow_delete: Annotated[
        Optional[bool], typer.Option("--allow-delete", help="Let requests take away names of models.")
    ] = None,
    setting: Annotated[
        Optional[list[str]],
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as max_requests=64; repeatable."),
    ] = None,
    quiet: _Quiet = False,
) -> None:
    """Serve the OpenAI API over HTTP.

    Ctrl-C or SIGTERM ends it when the answers that are on their way have ended; a second one ends it at once.

    Flags win over LLAMA_ASYNC_SERVER_* variables, those over the file.
    """
    from .serving import Flags
    from .serving import serve as run

    flags: Flags = {
        "host": host,
        "port": port,
        "api_keys": api_key,
        "api_key_file": api_key_file,
        "ssl_certfile": ssl_certfile,
        "ssl_keyfile": ssl_keyfile,
        "alias": alias,
        "n_parallel": parallel,
        "n_ctx": ctx,
        "n_threads": threads,
        "n_gpu_layers": gpu_layers,
        "tune": tune,
        "chat_template": chat_template,
        "cors_origins": cors_origin,
        "allow_delete": allow_delete,
    }
    run(model, config, flags, setting or [], quiet=quiet)


@app.command(rich_help_panel="About this installation")
@status_of
def bench(
    model: Annotated[str, _MODEL_ARGUMENT] = "default",
    parallel: Annotated[int, typer.Option("--parallel", "-p", min=1, help="Streams beside the one.")] = 4,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Length of the prompts.")] = 512,
    tokens: Annotated[int, typer.Option(min=2, help="Length of the answers.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured; the median counts.")] = 3,
    threads: _Threads = None,
    gpu_layers: _GpuLayers = None,
    tune: _Tune = None,
    quiet: _Quiet = False,
    as_json: _Json = False,
) -> None:
    """Measure how fast a model is here: prompts and answers, one stream and several."""
    import anyio

    from .fetching import model_file
    from .measuring import measure, table
    from .session import EngineFlags

    path = model_file(model, quiet=quiet)
    console = messages()
    with console.status("") as status:

        def on_step(text: str) -> None:
            if not quiet:
                status.update(escaped(text))

        results = anyio.run(
            lambda: measure(
                path,
                streams=sorted({1, parallel}),
                n_prompt=prompt_tokens,
                n_generated=tokens,
                n_rounds=rounds,
                options=EngineFlags(n_threads=threads, n_gpu_layers=gpu_layers, tune=tune).options(),
                on_step=on_step,
            )
        )
    if as_json:
        print(json.dumps({"model": str(path), "results": [one.facts() for one in results]}, indent=2))
    else:
        answers().print(table(results))


# -- what was there before the extra, and is there without it


@app.command(rich_help_panel="About this installation")
@status_of
def doctor(as_json: _Json = False) -> None:
    """What was built, what this machine offers, and a self-test."""
    from llama_async._commands import doctor as run

    raise typer.Exit(run(as_json=as_json))


@app.command(rich_help_panel="About this installation")
@status_of
def demo(
    question: Annotated[str, typer.Argument(help="What to ask.")] = QUESTION,
    model: Annotated[Optional[str], typer.Option(help="A GGUF file.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 200,
) -> None:
    """Stream an answer of the default model (98 MB, fetched once)."""
    from llama_async._commands import demo as run

    raise typer.Exit(run(question, model, max_tokens))


# -- models


@app.command(rich_help_panel="Models")
@status_of
def pull(
    model: Annotated[str, typer.Argument(help=_MODEL_HELP, metavar="MODEL", show_default=False)],
    selection: Annotated[
        Optional[str],
        typer.Argument(metavar="FILES", help="Which of a repository: a path, a glob, a quantization."),
    ] = None,
    revision: Annotated[Optional[str], typer.Option(help="Branch, tag or commit of a repository.")] = None,
    sha256: Annotated[Optional[str], typer.Option(help="What the file of a URL must be.")] = None,
    quiet: _Quiet = False,
    as_json: _Json = False,
) -> None:
    """Fetch a model into the cache that the Hugging Face tools share.

    What was cut goes on where it ended; every file is verified by its hash before it gets its name. All parts of a
    split model come. A glob takes everything that fits. The paths are printed on standard output.

    HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE mean what they mean to those tools.

    Examples: llama-async pull owner/repo:Q4_K_M | llama-async pull owner/repo '*Q8_0*' | llama-async pull
    https://example.com/model.gguf --sha256 SHA256
    """
    from dataclasses import replace

    from llama_async._hub import RepoSource, Settings, parse_source

    from .fetching import fetch

    source = parse_source(model, endpoint=Settings.from_environment().endpoint, revision=revision, sha256=sha256)
    if selection is not None:
        if not isinstance(source, RepoSource):
            raise typer.BadParameter("only a repository has files to choose from", param_hint="FILES")
        source = replace(source, selection=selection)
    pulled = fetch(source, quiet=quiet)
    if as_json:
        facts = [
            {
                "name": one.name,
                "paths": [str(path) for path in one.paths],
                "size_bytes": one.size_bytes,
                "fetched": one.is_new,
            }
            for one in pulled
        ]
        print(json.dumps(facts, indent=2))
        return
    for one in pulled:
        print(one.path)
        if not quiet:
            state = "fetched and verified" if one.is_new else "is in the cache"
            messages().print(f"{escaped(one.name)} ({size(one.size_bytes)}) {state}", soft_wrap=True)


@models_app.command("list")
@status_of
def models_list(as_json: _Json = False) -> None:
    """List the models that are in the cache."""
    from .inventory import inventory, table

    found = inventory()
    if as_json:
        print(json.dumps([entry.facts() for entry in found], indent=2))
    elif found:
        answers().print(table(found))
    else:
        messages().print(f"there are no models in the cache; [bold]{PROGRAM} pull MODEL[/] fetches one")


@models_app.command("show")
@status_of
def models_show(
    model: Annotated[str, _CACHED_ARGUMENT],
    everything: Annotated[bool, typer.Option("--all", "-a", help="All metadata, not the most wanted.")] = False,
    template: Annotated[bool, typer.Option("--template", help="Print the chat template, nothing else.")] = False,
    as_json: _Json = False,
) -> None:
    """Show what a model's file says about itself."""
    from .inventory import description, facts_of, find, template_of

    path = find(model)
    if template:
        text = template_of(path)
        if text is None:
            raise fail(f"{path} has no chat template")
        print(text)
    elif as_json:
        print(json.dumps(facts_of(path), indent=2))
    else:
        answers().print(description(path, everything=everything))


@models_app.command("path")
@status_of
def models_path(
    model: Annotated[str, _CACHED_ARGUMENT],
) -> None:
    """Print where the file of a model is."""
    from .inventory import find

    print(find(model))


@models_app.command("remove")
@status_of
def models_remove(
    names: Annotated[list[str], _CACHED_ARGUMENTS],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete models from the cache, for all tools that share it."""
    from .inventory import matching

    found = [entry for name in names for entry in matching(name)]
    if not yes:
        for entry in found:
            messages().print(f"{escaped(entry.name)} ({size(entry.size_bytes)})", soft_wrap=True)
        if not sys.stdin.isatty():
            raise fail("nobody can be asked; --yes removes without")
        if not typer.confirm(f"remove {len(found)} model{'s' * (len(found) > 1)}?", err=True):
            raise typer.Exit(FAILED)
    freed = sum(entry.remove() for entry in found)
    messages().print(f"freed {size(freed)}")


@models_app.command("prune")
@status_of
def models_prune() -> None:
    """Delete what interrupted downloads have left; they would begin anew."""
    from .inventory import partial_files

    freed = 0
    for path in partial_files():
        freed += path.stat().st_size
        path.unlink()
    messages().print(f"freed {size(freed)}")

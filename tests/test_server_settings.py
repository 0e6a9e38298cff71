"""Settings from a file, the environment and flags."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llama_async import AsyncLlama, OptionError
from llama_async._options import ModelOptions
from llama_async.cli import inventory
from llama_async.cli.app import main
from llama_async.server import ServerSettings, load_settings
from llama_async.server._run import Server
from llama_async.server._settings import _from_file, client_options

FILE = """
host = "0.0.0.0"
port = 9000
n_ctx = 2048
api_key_file = "keys"
cors_origins = ["https://a.example", "https://b.example"]

[models]
plain = "plain.gguf"

[models.chat]
path = "/models/chat.gguf"
n_parallel = 8

[aliases]
"gpt-4o-mini" = "chat"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(FILE)
    return path


def test_a_file(file: Path) -> None:
    settings = load_settings(file, environment={})
    assert (settings.host, settings.port, settings.n_ctx) == ("0.0.0.0", 9000, 2048)
    # What is relative is so to the file.
    assert settings.api_key_file == file.parent / "keys"
    assert settings.models["plain"] == file.parent / "plain.gguf"
    assert settings.models["chat"].model_dump(exclude_unset=True) == {
        "path": Path("/models/chat.gguf"),
        "n_parallel": 8,
    }
    assert settings.aliases == {"gpt-4o-mini": "chat"}
    client = AsyncLlama(**client_options(settings))
    assert "gpt-4o-mini" in repr(client)


def test_the_environment_overrides_the_file_and_flags_both(file: Path) -> None:
    environment = {
        "LLAMA_ASYNC_SERVER_PORT": "9001",
        "LLAMA_ASYNC_SERVER_N_CTX": "4096",
        "LLAMA_ASYNC_SERVER_MODELS__CHAT__N_PARALLEL": "2",
        "LLAMA_ASYNC_SERVER_API_KEYS": "one, two",
        "LLAMA_ASYNC_SERVER_CORS_ORIGINS": '["https://c.example"]',
        "LLAMA_ASYNC_MODEL": "of something else",
    }
    settings = load_settings(file, {"port": 9002, "host": None}, environment)
    assert (settings.host, settings.port, settings.n_ctx) == ("0.0.0.0", 9002, 4096)
    assert settings.models["chat"].n_parallel == 2
    assert [key.get_secret_value() for key in settings.api_keys] == ["one", "two"]
    assert settings.cors_origins == ("https://c.example",)


def test_a_model_given_by_a_flag_replaces_the_files(file: Path) -> None:
    settings = load_settings(file, {"model": "other.gguf", "aliases": {}}, {})
    assert settings.model == Path("other.gguf")
    assert not settings.models


@pytest.mark.parametrize(
    ("flags", "environment", "param"),
    [
        ({"model": "m.gguf", "prot": 1}, {}, "prot"),
        ({"model": "m.gguf", "port": 99999}, {}, "port"),
        ({"model": "m.gguf"}, {"LLAMA_ASYNC_SERVER_PORT": "many"}, "port"),
        ({"model": "m.gguf"}, {"LLAMA_ASYNC_SERVER_PROT": "1"}, "prot"),
        ({"model": "m.gguf"}, {"LLAMA_ASYNC_SERVER_ALIASES": "{"}, "LLAMA_ASYNC_SERVER_ALIASES"),
        ({"model": "m.gguf", "n_ctx": "long"}, {}, "n_ctx"),
        ({"models": {"a": {"path": "m.gguf", "n_ctxt": 1}}}, {}, "models.a"),
        ({"model": "m.gguf", "models": {"a": "b"}}, {}, "settings"),
        ({"model": "m.gguf", "max_buffered_bytes": 1 << 20}, {}, "settings"),
        ({}, {}, "settings"),
    ],
)
def test_errors_name_the_setting(flags: dict[str, Any], environment: dict[str, str], param: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_settings(flags=flags, environment=environment)
    assert caught.value.param.startswith(param)


@pytest.mark.parametrize("text", ["port =", "\udcff", "port = 1\nport = 2"])
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(OptionError, match="config"):
        load_settings(path)
    with pytest.raises(OptionError, match="config"):
        load_settings(tmp_path / "none.toml")


def test_every_option_of_a_model_is_a_setting() -> None:
    settings = ServerSettings(model="m.gguf", n_ctx=128, devices=["a", "b"], flash_attention=True, split_mode="row")
    options = client_options(settings)
    assert options["n_ctx"] == 128
    assert options["devices"] == ["a", "b"]
    assert set(ModelOptions.__annotations__) - {"path"} <= set(ServerSettings.model_fields)


@pytest.mark.parametrize(("text", "tune"), [("false", False), ("true", True), ("0", 0), ("20", 20.0), ("2.5", 2.5)])
def test_measuring_is_granted_by_a_variable(text: str, tune: bool | float) -> None:
    settings = load_settings(flags={"model": "m.gguf"}, environment={"LLAMA_ASYNC_SERVER_TUNE": text})
    assert client_options(settings)["tune"] == tune


def test_measuring_is_granted_by_a_file(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('model = "m.gguf"\ntune = false\npoll = 7\n')
    options = client_options(load_settings(path, environment={}))
    assert options["tune"] is False
    assert options["poll"] == 7


def test_paths_of_a_file_are_relative_to_it(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(
        'store = "kept.db"\ndraft_model = "small.gguf"\n[models.a]\npath = "a.gguf"\ndraft_model = "b.gguf"\n'
    )
    values = _from_file(file)
    assert values["store"] == str(tmp_path / "kept.db")
    assert values["draft_model"] == str(tmp_path / "small.gguf")
    assert values["models"]["a"] == {"path": str(tmp_path / "a.gguf"), "draft_model": str(tmp_path / "b.gguf")}


@pytest.mark.parametrize("source", ["file", "environment"])
def test_an_empty_store_is_none(tmp_path: Path, source: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text('model = "a.gguf"\n' + ('store = ""\n' if source == "file" else ""))
    environment = {"LLAMA_ASYNC_SERVER_STORE": ""} if source == "environment" else {}
    assert load_settings(file, environment=environment).store is None


@pytest.mark.parametrize(("value", "use_colors"), [(None, None), ("", None), ("1", False)])
def test_the_log_has_no_colours_where_none_are_wanted(
    monkeypatch: pytest.MonkeyPatch, value: str | None, use_colors: bool | None
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if value is not None:
        monkeypatch.setenv("NO_COLOR", value)
    server = Server(ServerSettings(model="m.gguf", port=0))
    for listening in server._sockets:
        listening.close()
    assert isinstance(server.config.log_config, dict)
    formatters = server.config.log_config["formatters"]
    assert [formatters[name].get("use_colors") for name in ("default", "access")] == [use_colors] * 2


def test_the_command_completes_the_names_of_models(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inventory, "inventory", lambda: [SimpleNamespace(name=name) for name in ("own", "other")])
    monkeypatch.setenv("_LLAMA_ASYNC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "llama-async serve ow")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert main([]) == 0
    assert capsys.readouterr().out.split() == ["own"]

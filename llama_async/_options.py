"""The options of a client: checked when it is constructed, handed to the native engine when the model loads.

Owns `EngineOptions` and the limits of every option. Touches no file and not the extension: a wrong option is an error
of the constructor, a model that cannot be loaded one of loading.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeGuard

from typing_extensions import Required

from ._chat_formats import chat_template as template_text
from ._errors import BadRequestError, OptionError
from ._speculation import guess_kinds, request_speculation

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EngineOptions", "ModelOptions", "engine_options", "model_options"]

_INT32_MAX = 2**31 - 1

# What llama.cpp can keep a KV cache in (kv_cache_types in common/arg.cpp at the pinned commit).
_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")

# enum llama_split_mode of llama.h.
_SPLIT_MODES = ("none", "layer", "row", "tensor")

# enum llama_pooling_type of llama.h, from 1 on: without pooling there is not one vector a text.
_POOLINGS = ("mean", "cls", "last", "rank")

# Option -> smallest and largest value. None is allowed for each: the engine's own default.
_INTEGERS: Mapping[str, tuple[int, int]] = {
    "n_ctx": (1, _INT32_MAX),
    "n_parallel": (1, 256),
    "n_batch": (1, _INT32_MAX),
    "n_ubatch": (1, _INT32_MAX),
    "n_threads": (1, 512),
    "n_threads_batch": (1, 512),
    "n_gpu_layers": (-1, _INT32_MAX),
    "main_gpu": (0, 255),
    "max_queue": (1, _INT32_MAX),
    "n_kv": (1, _INT32_MAX),
    "draft_max": (0, 256),
    "prefix_cache_bytes": (0, 2**63 - 1),
    "poll": (0, 100),
}
_BOOLEANS = ("kv_unified", "use_mmap", "use_mlock", "use_extra_buffers", "swa_full", "offload_kqv")
_POSITIVE_FLOATS = ("rope_freq_base", "rope_freq_scale")

# Longest time that measuring at load may be given, in seconds.
_TUNE_MAX_S = 3600


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What one native engine is opened with.

    Attributes:
        path: The model file.
        numbers: Fields of `la_engine_params` by name; a field that is not here keeps the engine's default.
        texts: String fields of `la_engine_params` by name.
        tensor_split: Share of each device, empty for the engine's default.
        check_tensors: Whether tensor data is validated while loading; `None`: for files up to 4 GiB.
        speculation: Fields of `la_speculation` by name.
        draft_model: The file of a second model that guesses, empty for none.
    """

    path: str
    numbers: Mapping[str, int | float]
    texts: Mapping[str, str]
    tensor_split: tuple[float, ...] = ()
    check_tensors: bool | None = None
    speculation: Mapping[str, int | float | str] = field(default_factory=lambda: MappingProxyType({}))
    draft_model: str = ""

    @property
    def stem(self) -> str:
        """The name a model is known by: its file's name without the suffix."""
        return Path(self.path).stem

    def given(self, name: str) -> object:
        """Return the value of an option, for an error text."""
        return self.tensor_split if name == "tensor_split" else self.texts.get(name, self.numbers.get(name))

    def with_number(self, name: str, value: float) -> EngineOptions:
        """Return these options with one more field set."""
        return self.with_numbers({name: value})

    def with_numbers(self, numbers: Mapping[str, int | float]) -> EngineOptions:
        """Return these options with more fields set."""
        return replace(self, numbers=MappingProxyType({**self.numbers, **numbers}))


class ModelOptions(TypedDict, total=False):
    """One of several models: its path, and what differs from the options of the client, which has their meanings."""

    path: Required[str | os.PathLike[str]]
    n_ctx: int | None
    n_parallel: int | None
    n_batch: int | None
    n_ubatch: int | None
    n_threads: int | None
    n_threads_batch: int | None
    n_gpu_layers: int
    devices: str | Sequence[str] | None
    split_mode: Literal["none", "layer", "row", "tensor"] | None
    main_gpu: int | None
    tensor_split: Sequence[float] | None
    flash_attention: bool | None
    kv_unified: bool | None
    n_kv: int | None
    prefix_cache_bytes: int | None
    speculative: str | Sequence[str] | Mapping[str, object] | None
    draft_model: str | os.PathLike[str] | None
    draft_max: int | None
    type_k: str | None
    type_v: str | None
    use_mmap: bool | None
    use_mlock: bool | None
    use_extra_buffers: bool | None
    check_tensors: bool | None
    swa_full: bool | None
    offload_kqv: bool | None
    rope_freq_base: float | None
    rope_freq_scale: float | None
    pooling: Literal["mean", "cls", "last", "rank"] | None
    chat_template: str | None
    max_queue: int | None
    poll: int | None
    tune: bool | float | None


def model_options(label: str, given: object, defaults: Mapping[str, Any]) -> EngineOptions:
    """Check the options of one model.

    Args:
        label: What error texts call it.
        given: Its path, or a mapping of `path` and options.
        defaults: Every option of the client, which the mapping overrides.

    Raises:
        OptionError: An option has a wrong type or value.
    """
    if not isinstance(given, Mapping):
        return engine_options(given, label=label, **defaults)
    for name in given:
        if name != "path" and name not in defaults:
            raise OptionError(label, name, f"a mapping of path and any of {', '.join(defaults)}")
    options = {**defaults, **given}
    path = options.pop("path", None)
    try:
        return engine_options(path, label=f"{label}['path']", **options)
    except OptionError as error:
        if error.param not in given:
            raise
        raise OptionError(f"{label}[{error.param!r}]", error.value, error.limit) from None


def engine_options(
    model: object,
    *,
    label: str = "model",
    split_mode: str | None,
    flash_attention: bool | None,
    tensor_split: Sequence[float] | None,
    devices: str | Sequence[str] | None,
    type_k: str | None,
    type_v: str | None,
    chat_template: str | None,
    check_tensors: bool | None,
    pooling: str | None = None,
    speculative: str | Sequence[str] | Mapping[str, object] | None = None,
    draft_model: str | os.PathLike[str] | None = None,
    draft_max: int | None = None,
    tune: bool | float | None = None,
    **simple: float | None,
) -> EngineOptions:
    """Check the options of a client.

    Raises:
        OptionError: An option has a wrong type or value.
    """
    numbers: dict[str, int | float] = {}
    for name, value in simple.items():
        if value is not None:
            numbers[name] = _number(name, value)
    if split_mode is not None:
        numbers["split_mode"] = _choice("split_mode", split_mode, _SPLIT_MODES)
    if flash_attention is not None:
        numbers["flash_attention"] = int(_boolean("flash_attention", flash_attention))
    if tune is not None:
        numbers["tune_s"] = _tune_s(tune)
    if pooling is not None:
        numbers["pooling"] = 1 + _choice("pooling", pooling, _POOLINGS)
    if check_tensors is not None:
        _boolean("check_tensors", check_tensors)
    texts: dict[str, str] = {}
    for name, cache_type in (("type_k", type_k), ("type_v", type_v)):
        if cache_type is not None:
            _choice(name, cache_type, _CACHE_TYPES)
            texts[name] = cache_type
    if chat_template is not None:
        try:
            texts["chat_template"] = template_text(chat_template)
        except ValueError as error:
            raise OptionError("chat_template", chat_template, str(error)) from None
    if devices is not None:
        texts["devices"] = _devices(devices)
    speculation = _speculation(speculative, draft_model is not None, draft_max)
    return EngineOptions(
        path=_path(label, model),
        speculation=MappingProxyType(speculation),
        draft_model="" if draft_model is None else _path("draft_model", draft_model),
        numbers=MappingProxyType(numbers),
        texts=MappingProxyType(texts),
        tensor_split=() if tensor_split is None else _shares(tensor_split),
        check_tensors=check_tensors,
    )


def _speculation(speculative: object, has_draft_model: bool, draft_max: int | None) -> dict[str, int | float | str]:
    fields: dict[str, int | float | str] = {}
    if isinstance(speculative, Mapping):
        try:
            fields.update(request_speculation({"speculative": speculative}))
        except BadRequestError as error:
            raise OptionError("speculative", speculative, f"a mapping of right values: {error.message}") from None
    elif speculative is not None:
        try:
            fields["kinds"] = guess_kinds(speculative)
        except ValueError as error:
            raise OptionError("speculative", speculative, str(error)) from None
    if "kinds" not in fields and has_draft_model:
        fields["kinds"] = "draft-simple"
    if "draft-simple" in str(fields.get("kinds", "")).split(",") and not has_draft_model:
        raise OptionError("speculative", speculative, "without draft-simple unless there is a draft_model")
    if draft_max is not None:
        fields["n_max"] = _number("draft_max", draft_max)
    return fields


def _path(label: str, model: object) -> str:
    if not isinstance(model, (str, os.PathLike)):
        raise OptionError(label, model, "the path of a GGUF file")
    path = os.fspath(model)
    if not isinstance(path, str) or not path or "\0" in path:
        raise OptionError(label, path, "the path of a GGUF file, without NUL characters")
    return path


def _number(name: str, value: object) -> int | float:
    if name in _BOOLEANS:
        return int(_boolean(name, value))
    if name in _POSITIVE_FLOATS:
        if not _is_real(value) or not 0 < value < math.inf:
            raise OptionError(name, value, "a number above 0")
        return float(value)
    low, high = _INTEGERS[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OptionError(name, value, f"an integer from {low} to {high}")
    return value


def _tune_s(tune: object) -> float:
    if isinstance(tune, bool):
        return -1.0 if tune else 0.0
    if not _is_real(tune) or not 0 <= tune <= _TUNE_MAX_S:
        raise OptionError("tune", tune, f"True, False, or seconds from 0 to {_TUNE_MAX_S}")
    return float(tune)


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise OptionError(name, value, "True or False")
    return value


def _choice(name: str, value: object, allowed: Sequence[str]) -> int:
    if value not in allowed:
        raise OptionError(name, value, f"one of {', '.join(allowed)}")
    return allowed.index(str(value))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise OptionError(name, value, "text that is not empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise OptionError(name, value, "text without lone surrogates") from None
    return value


def _devices(devices: str | Sequence[object]) -> str:
    names: Sequence[Any] = devices.split(",") if isinstance(devices, str) else devices
    if not names or not all(isinstance(name, str) and name.strip() and "," not in name for name in names):
        raise OptionError("devices", devices, "names of devices, as `python -m llama_async doctor` lists them")
    return ",".join(_text("devices", name.strip()) for name in names)


def _shares(tensor_split: Sequence[object]) -> tuple[float, ...]:
    shares = tuple(tensor_split)
    if not any(shares) or not all(_is_real(share) and 0 <= share < math.inf for share in shares):
        raise OptionError("tensor_split", tensor_split, "one share from 0 per device, not all of them 0")
    return tuple(float(share) for share in shares if _is_real(share))


def _is_real(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)

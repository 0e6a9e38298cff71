"""A smaller model of the same vocabulary, where there is none to be had: the first layers of a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gguf import GGUFReader, GGUFValueType, GGUFWriter

if TYPE_CHECKING:
    from pathlib import Path

_LAYER = re.compile(r"blk\.(\d+)\.")


def write_first_layers(model: Path, n_layers: int, path: Path) -> None:
    """Write a GGUF file with the first `n_layers` of a model's layers, and all that it has beside layers.

    Raises:
        SystemExit: It has no more layers than that.
    """
    reader = GGUFReader(model)
    architecture = str(reader.fields["general.architecture"].contents())
    n_layers_key = f"{architecture}.block_count"
    n_all = int(reader.fields[n_layers_key].contents())
    if not 0 < n_layers < n_all:
        raise SystemExit(f"{model.name} has {n_all} layers: fewer than that can be kept, and one at least")
    writer = GGUFWriter(path, architecture)
    for name, value in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        if name == n_layers_key:
            writer.add_uint32(name, n_layers)
            continue
        item_type = value.types[-1] if value.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, value.contents(), value.types[0], item_type)
    for tensor in reader.tensors:
        layer = _LAYER.match(tensor.name)
        if layer is None or int(layer[1]) < n_layers:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

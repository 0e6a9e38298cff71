"""The forced header keeps GCC from dropping the stores that fill the AMX tile configuration.

Compiled, not run: any x86 machine with GCC can tell whether the stores are in the code.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HEADER = Path(__file__).resolve().parent.parent / "llama.cpp" / "amx_barrier.h"

# The shape of upstream's ggml_tile_config_init: a local configuration, filled and loaded. 0x2a stands at byte 47.
PROBE = """
#include <immintrin.h>
#include <stdint.h>
struct tile_config { uint8_t palette, start_row, reserved[14]; uint16_t columns[16]; uint8_t rows[16]; };
void configure(void) {
    struct tile_config config __attribute__((aligned(64))) = {};
    config.palette = 1;
    config.rows[15] = 0x2a;
    _tile_loadconfig(&config);
}
"""


@pytest.fixture(scope="module")
def gcc() -> str:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++")
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    if "Free Software Foundation" not in version:
        pytest.skip("g++ is not GCC here")
    machine = subprocess.run([compiler, "-dumpmachine"], capture_output=True, text=True, check=True).stdout
    if not machine.startswith("x86_64"):
        pytest.skip(f"g++ compiles for {machine.strip()}, AMX is x86-64's")
    probe = [compiler, "-mamx-tile", "-fsyntax-only", "-x", "c++", "/dev/null"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("this GCC does not know AMX")
    return compiler


def assembly(gcc: str, directory: Path, *options: str) -> str:
    source, output = directory / "probe.cpp", directory / "probe.s"
    source.write_text(PROBE, "ascii")
    command = [gcc, "-O3", "-march=x86-64", "-mamx-tile", *options, "-S", str(source), "-o", str(output)]
    subprocess.run(command, check=True)
    return output.read_text("ascii")


def stores_last_byte(code: str) -> bool:
    """Whether 0x2a, alone or in the top byte of a wider constant, is materialized before ldtilecfg."""
    before, _, _ = code.partition("ldtilecfg")
    numbers = [int(number) for number in re.findall(r"\$(-?\d+)", code if before == code else before)]
    numbers += [int(number) for number in re.findall(r"\.(?:byte|quad|long)\s+(-?\d+)", code)]
    return any(number == 0x2A or number >> 56 == 0x2A or number >> 24 == 0x2A for number in numbers)


@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3"])
def test_configuration_is_stored_with_the_barrier(gcc: str, tmp_path: Path, level: str) -> None:
    code = assembly(gcc, tmp_path, level, "-include", str(HEADER))
    assert "ldtilecfg" in code
    assert stores_last_byte(code)


def test_the_check_sees_dropped_stores(gcc: str, tmp_path: Path) -> None:
    """Without the header GCC 12 drops the store; a GCC that keeps it has been mended and needs no header."""
    if stores_last_byte(assembly(gcc, tmp_path)):
        pytest.skip("this GCC keeps the stores by itself")


def test_header_is_harmless_without_amx(gcc: str, tmp_path: Path) -> None:
    source = tmp_path / "plain.cpp"
    source.write_text("int main() { return 0; }\n", "ascii")
    subprocess.run([gcc, "-Wall", "-Werror", "-include", str(HEADER), "-fsyntax-only", str(source)], check=True)

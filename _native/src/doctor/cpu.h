// What the processor offers and the operating system lets us use, whatever this library was compiled for.
#pragma once

#include <string>
#include <vector>

namespace la {

// The processor's own name, or "" where it cannot be told.
std::string cpu_model();

// Names as in llama.cpp's system info ("AVX2", "AVX512_VNNI", "AMX_INT8", ...). Empty on other architectures than x86.
std::vector<std::string> cpu_features();

} // namespace la

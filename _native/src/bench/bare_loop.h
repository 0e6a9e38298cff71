// A bare llama_decode loop: what the engine could reach if it did nothing else. For benchmarks.
#pragma once

#include "llama_async.h"

#include <memory>

namespace la {

class Model;
struct EngineConfig;

// Makes a context of its own over the same weights: n_streams sequences of n_prompt tokens each are prefilled, then
// decode n_decode steps together, logits computed but not looked at. Blocks. Throws Error.
la_bare_result bare_loop(const Model & model, const EngineConfig & config, const la_bare_params & params);

} // namespace la

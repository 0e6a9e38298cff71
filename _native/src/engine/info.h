// The JSON of la_engine_info.
#pragma once

#include "embedding/traits.h"
#include "model/model.h"

#include <string>

namespace la {

struct EngineLimits {
    int32_t n_ctx = 0; // tokens of one request
    int32_t n_threads = 0;
    int32_t n_threads_batch = 0;
    bool can_generate = false;
};

std::string describe(const Model & model, const EngineConfig & config, const EngineLimits & limits,
                     const EmbeddingTraits & embedding);

} // namespace la

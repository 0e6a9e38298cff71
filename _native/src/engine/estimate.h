// What an engine will take, found out by a dry run: upstream lays out weights, KV cache and compute graph and allocates none.
#pragma once

#include "llama_async.h"

#include "model/model.h"

namespace la {

// Blocks the calling thread: it reads the file's metadata and vocabulary. Throws Error as Model::load and make_context.
la_memory estimate(const EngineConfig & config);

} // namespace la

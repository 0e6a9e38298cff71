// A llama_context with the compute threads it runs on.
#pragma once

#include "model/model.h"

#include "llama-cpp.h"

#include <memory>

namespace la {

struct ThreadpoolDeleter {
    void operator()(ggml_threadpool * pool) const;
};
using ThreadpoolPtr = std::unique_ptr<ggml_threadpool, ThreadpoolDeleter>;

struct Context {
    // Declared before the context: the context computes on them until it is freed.
    ThreadpoolPtr threads;
    ThreadpoolPtr threads_batch; // null: the same
    llama_context_ptr llama;
    int32_t n_threads = 0;
    int32_t n_threads_batch = 0;
    int32_t n_ctx = 0; // tokens of one request
};

struct ContextShape {
    int32_t n_ctx;
    int32_t n_parallel;
};

// The shape that `config` means for this model (defaults filled in).
ContextShape context_shape(const Model & model, const EngineConfig & config);

// Whether sliding-window layers get a cache of the window's size only. With one cache for all sequences they get one of
// full size, whatever the options say: upstream's small shared one overflows while tokens would still fit, and loses
// cells of one sequence while it looks for room for another.
bool forgets_window(const Model & model, const EngineConfig & config);

// Throws Error: LA_ERR_MEMORY (checked before anything is allocated), LA_ERR_LOAD.
Context make_context(const Model & model, const EngineConfig & config, ContextShape shape);

// The cores that this process may use, not counting second hardware threads.
int32_t usable_cores();

} // namespace la

// A llama_context with the compute threads it runs on.
#pragma once

#include "embedding/traits.h"
#include "model/model.h"

#include "llama-cpp.h"

#include <memory>

namespace la {

// Compute threads. The contexts of an engine share them: idle ones poll for a while, and two sets would keep each other
// from the cores. REQUIRES: only one context computes at a time (ComputeGate).
struct Threads {
    std::shared_ptr<ggml_threadpool> decode;
    std::shared_ptr<ggml_threadpool> batch; // null: the same
    int32_t n_decode = 0;
    int32_t n_batch = 0;
};

Threads make_threads(const EngineConfig & config);

// `poll`: how long idle ones poll before they sleep, 0 to 100. Null: ggml has no pools of its own.
std::shared_ptr<ggml_threadpool> make_threadpool(int32_t n_threads, int32_t poll);

// Whether layers may lie on a device.
bool uses_device(const EngineConfig & config);

struct Context {
    // Declared before the context: the context computes on them until it is freed.
    Threads threads;
    llama_context_ptr llama;
    int32_t n_ctx = 0;   // tokens of one request
    int64_t n_cells = 0; // of all of them together
};

struct ContextShape {
    int32_t n_ctx;
    int32_t n_parallel;
    int64_t n_cells;
};

// The shape that `config` means for this model (defaults filled in).
ContextShape context_shape(const Model & model, const EngineConfig & config);

// Whether sliding-window layers get a cache of the window's size only. With one cache for all sequences they get one of
// full size, whatever the options say: upstream's small shared one overflows while tokens would still fit, and loses
// cells of one sequence while it looks for room for another.
bool forgets_window(const Model & model, const EngineConfig & config);

// Prompt tokens of all requests that a step may compute log probabilities for. Each is a row of logits: up to 16 MiB of
// them in the context's output buffer, once it is needed, and in the compute buffer.
int32_t max_scored(const Model & model);

// Throws Error: LA_ERR_MEMORY (checked before anything is allocated), LA_ERR_LOAD. `dry`: of a model loaded dry; whether
// the memory is there is not asked.
Context make_context(const Model & model, const EngineConfig & config, ContextShape shape, Threads threads,
                     bool dry = false);

// Of the layers of the model that predict more tokens (llama_model_n_layer_nextn), for what `target` computes. Throws as
// make_context.
Context make_heads_context(const Model & model, const EngineConfig & config, const Context & target, Threads threads);

// In the memory of `target`, for prompts in graphs of up to so many tokens, which call `on_node` as
// ggml_backend_sched_eval_callback says. Throws as make_context.
Context make_beside_context(const Model & model, const EngineConfig & config, const Context & target, int32_t n_tokens,
                            ggml_backend_sched_eval_callback on_node, void * data);

struct EmbeddingShape {
    enum llama_pooling_type pooling; // NONE: the rows of all tokens come out
    int32_t n_tokens;           // of one compute graph
    int32_t n_sequences;        // in one compute graph
    int32_t n_ctx;              // tokens kept, of all sequences together
};

// Throws as make_context.
Context make_embedding_context(const Model & model, const EngineConfig & config, EmbeddingShape shape, Threads threads);

// The cores that this process may use, not counting second hardware threads.
int32_t usable_cores();

} // namespace la

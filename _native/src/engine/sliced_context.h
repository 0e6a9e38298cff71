// A context whose graphs are computed in slices, so that others can compute in the middle of a long one.
#pragma once

#include "engine/context.h"

#include <exception>
#include <functional>

namespace la {

// Not thread-safe. In the memory of another context, whose sequences it computes prompts of. A graph that is computed in small
// parts of few tokens takes far longer: each part reads all weights and all that the prompt's tokens look back at. One that
// stops between two nodes costs nothing.
class SlicedContext {
  public:
    // Of the memories that two batches can be in at once: a cache with a stream for each sequence, in main memory. And where
    // nothing reads in the owner what it computed of a prompt.
    static bool is_possible(const Model & model, const EngineConfig & config, const Context & owner);

    SlicedContext(const Model & model, const EngineConfig & config, const Context & owner);
    SlicedContext(const SlicedContext &) = delete;
    SlicedContext & operator=(const SlicedContext &) = delete;

    llama_context * llama() const { return context_.llama.get(); }
    // The most of one graph.
    int32_t n_tokens() const { return n_tokens_; }

    // llama_decode. `between` is called after slices of about so many seconds of a graph that takes about `graph_s`.
    int32_t decode(const llama_batch & batch, double graph_s, double slice_s, const std::function<void()> & between);
    // Whether `between` threw: the abort callback has to end the graph then.
    bool has_failed() const { return error_ != nullptr; }
    // What `between` threw in the last graph, if it did.
    void rethrow();

  private:
    bool on_node(bool is_asked);

    const int32_t n_tokens_;
    int32_t n_nodes_;          // of a graph, at most
    bool has_counted_ = false; // them
    int32_t n_slice_nodes_ = 1;
    int32_t n_asked_ = 0;
    const std::function<void()> * between_ = nullptr;
    std::exception_ptr error_;
    Context context_;
};

} // namespace la

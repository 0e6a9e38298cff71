#include "engine/sliced_context.h"

#include <algorithm>
#include <utility>

namespace la {

// What the rows of a graph share, weights and what they look back at, is a small part of the price of so many, and room for
// them is little.
static constexpr int32_t k_most_tokens = 128;

// Before the first graph: about what a layer has.
static constexpr int32_t k_layer_nodes = 30;

bool SlicedContext::is_possible(const Model & model, const EngineConfig & config, const Context & owner) {
    const bool has_heads = config.draft_model_path.empty() && config.speculation.has(GuessKind::draft_mtp);
    return config.raw.kv_unified == 0 && config.raw.n_parallel > 1 && llama_get_memory(owner.llama.get()) != nullptr &&
           !model.is_recurrent() && !uses_device(config) && !has_heads;
}

SlicedContext::SlicedContext(const Model & model, const EngineConfig & config, const Context & owner)
    : n_tokens_(std::min(config.raw.n_ubatch, k_most_tokens)),
      n_nodes_(k_layer_nodes * std::max(1, llama_model_n_layer(model.weights()))),
      context_(make_beside_context(
          model, config, owner, n_tokens_,
          [](ggml_tensor *, bool is_asked, void * self) { return static_cast<SlicedContext *>(self)->on_node(is_asked); },
          this)) {}

int32_t SlicedContext::decode(const llama_batch & batch, double graph_s, double slice_s,
                              const std::function<void()> & between) {
    n_slice_nodes_ = std::max(1, static_cast<int32_t>(n_nodes_ * std::min(1.0, slice_s / std::max(graph_s, 1e-9))));
    n_asked_ = 0;
    between_ = &between;
    const int32_t result = llama_decode(llama(), batch);
    between_ = nullptr;
    if (result == 0) { // of one graph or of several, which have equally many
        n_nodes_ = has_counted_ ? std::min(n_nodes_, n_asked_) : std::max(n_asked_, 1);
        has_counted_ = true;
    }
    return result;
}

void SlicedContext::rethrow() {
    if (error_) {
        std::rethrow_exception(std::exchange(error_, nullptr));
    }
}

// Asked whether a slice ends at a node, and told when it did.
bool SlicedContext::on_node(bool is_asked) {
    if (is_asked) {
        return ++n_asked_ % n_slice_nodes_ == 0;
    }
    if (between_ && !error_) {
        try {
            (*between_)();
        } catch (...) {
            error_ = std::current_exception(); // may not pass through upstream, which would lose what it holds
        }
    }
    return true;
}

} // namespace la

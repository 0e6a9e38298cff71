// What a model can embed or rank, and within which limits. Constant after load, shared by all threads.
#pragma once

#include "model/model.h"

#include "llama.h"

namespace la {

struct EmbeddingTraits {
    enum llama_pooling_type pooling = LLAMA_POOLING_TYPE_MEAN; // never NONE or UNSPECIFIED
    bool can_embed = false;
    bool can_rerank = false;
    // Earlier tokens do not see later ones, and their state is kept: a long input can be computed in pieces.
    bool in_pieces = false;
    int32_t n_out = 0;       // floats of an embedding
    int32_t n_input_max = 0; // tokens of one input
};

// `has_memory`: whether the model's contexts keep the state of earlier tokens. n_ctx: tokens of one request.
EmbeddingTraits embedding_traits(const Model & model, const EngineConfig & config, bool has_memory, int32_t n_ctx);

// "mean", "cls", ...
const char * pooling_name(enum llama_pooling_type pooling);

} // namespace la

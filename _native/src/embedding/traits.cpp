#include "embedding/traits.h"

#include <algorithm>
#include <cstdlib>

namespace la {

EmbeddingTraits embedding_traits(const Model & model, const EngineConfig & config, bool has_memory, int32_t n_ctx) {
    const llama_model * weights = model.weights();
    const std::string arch = model.meta("general.architecture");
    EmbeddingTraits traits;
    int32_t pooling = config.raw.pooling;
    if (pooling < 0) {
        const std::string own = model.meta((arch + ".pooling_type").c_str());
        pooling = own.empty() ? -1 : std::atoi(own.c_str());
    }
    // A GGUF that says nothing is a model for generation; one that says "none" leaves the pooling to its user.
    if (pooling > LLAMA_POOLING_TYPE_NONE && pooling <= LLAMA_POOLING_TYPE_RANK) {
        traits.pooling = static_cast<enum llama_pooling_type>(pooling);
    }
    // Encoder and decoder in one: what the encoder computes is for the decoder, not for a caller.
    const bool two_parts = llama_model_has_encoder(weights) && llama_model_has_decoder(weights);
    const bool ranks = traits.pooling == LLAMA_POOLING_TYPE_RANK;
    traits.can_embed = !two_parts && !ranks;
    traits.can_rerank = !two_parts && ranks && model.has_rank_head();
    traits.in_pieces = has_memory && !llama_model_has_encoder(weights) &&
                       model.meta((arch + ".attention.causal").c_str()) != "false";
    traits.n_out = llama_model_n_embd_out(weights);
    // Beyond what it was trained for a model without memory has no positions: upstream would read past the table.
    const bool bounded = !traits.in_pieces && model.n_ctx_train() > 0;
    traits.n_input_max = bounded ? std::min(n_ctx, model.n_ctx_train()) : n_ctx;
    return traits;
}

const char * pooling_name(enum llama_pooling_type pooling) {
    switch (pooling) {
        case LLAMA_POOLING_TYPE_MEAN:
            return "mean";
        case LLAMA_POOLING_TYPE_CLS:
            return "cls";
        case LLAMA_POOLING_TYPE_LAST:
            return "last";
        case LLAMA_POOLING_TYPE_RANK:
            return "rank";
        default:
            return "none";
    }
}

} // namespace la

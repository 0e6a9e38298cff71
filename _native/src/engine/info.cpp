#include "engine/info.h"

#include <nlohmann/json.hpp>

namespace la {

std::string describe(const Model & model, const EngineConfig & config, const EngineLimits & limits,
                     const EmbeddingTraits & embedding) {
    char desc[128] = {};
    llama_model_desc(model.weights(), desc, sizeof(desc));
    nlohmann::ordered_json json = {
        { "path", model.path() },
        { "name", model.meta("general.name") },
        { "architecture", model.meta("general.architecture") },
        { "description", desc },
        { "n_params", llama_model_n_params(model.weights()) },
        { "size_bytes", llama_model_size(model.weights()) },
        { "n_vocab", model.n_vocab() },
        { "n_embd", llama_model_n_embd(model.weights()) },
        { "n_layer", llama_model_n_layer(model.weights()) },
        { "n_ctx_train", model.n_ctx_train() },
        { "n_ctx", limits.n_ctx },
        { "n_parallel", config.raw.n_parallel },
        { "n_batch", config.raw.n_batch },
        { "n_ubatch", config.raw.n_ubatch },
        { "n_threads", limits.n_threads },
        { "n_threads_batch", limits.n_threads_batch },
        { "poll", config.raw.poll },
        { "flash_attention", config.raw.flash_attention },
        { "kv_unified", config.raw.kv_unified != 0 },
        { "n_swa", model.n_swa() },
        { "recurrent", model.is_recurrent() },
        { "has_chat_template", model.chat_template() != nullptr },
        { "add_bos", llama_vocab_get_add_bos(model.vocab()) },
        { "token_bos", llama_vocab_bos(model.vocab()) },
        { "token_eos", llama_vocab_eos(model.vocab()) },
        { "token_fim_pre", llama_vocab_fim_pre(model.vocab()) },
        { "token_fim_suf", llama_vocab_fim_suf(model.vocab()) },
        { "token_fim_mid", llama_vocab_fim_mid(model.vocab()) },
        { "can_generate", limits.can_generate },
        { "can_embed", embedding.can_embed },
        { "can_rerank", embedding.can_rerank },
        { "pooling", pooling_name(embedding.pooling) },
        { "n_embd_out", embedding.n_out },
        { "n_input_max", embedding.n_input_max },
    };
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

} // namespace la

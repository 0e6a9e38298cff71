#include "bench/bare_loop.h"

#include "base/clock.h"
#include "base/error.h"
#include "engine/compute_gate.h"
#include "engine/context.h"
#include "model/model.h"

#include "common.h"
#include "../src/llama-ext.h" // memory breakdown; relative to common/, as upstream's own common includes it

#include <algorithm>

namespace la {

namespace {

struct Batch {
    explicit Batch(int32_t n) : value(llama_batch_init(n, 0, 1)) {}
    ~Batch() { llama_batch_free(value); }
    Batch(const Batch &) = delete;
    Batch & operator=(const Batch &) = delete;

    void add(llama_token token, llama_pos pos, llama_seq_id seq, bool logits) {
        const int32_t row = value.n_tokens++;
        value.token[row] = token;
        value.pos[row] = pos;
        value.n_seq_id[row] = 1;
        value.seq_id[row][0] = seq;
        value.logits[row] = logits;
    }

    llama_batch value;
    ComputeGate::Owner turns;
};

void decode(llama_context * ctx, Batch & batch) {
    const ComputeGate::Turn turn(batch.turns);
    if (llama_decode(ctx, batch.value) != 0) {
        throw Error(LA_ERR_INTERNAL, "llama_decode failed in the bare loop");
    }
    llama_synchronize(ctx);
    batch.value.n_tokens = 0;
}

size_t context_bytes(const llama_context * ctx) {
    size_t n = 0;
    for (const auto & [type, data] : llama_get_memory_breakdown(ctx)) {
        n += data.context + data.compute;
    }
    return n;
}

} // namespace

la_bare_result bare_loop(const Model & model, const EngineConfig & engine_config, const la_bare_params & params) {
    if (params.n_streams < 1 || params.n_streams > 256 || params.n_prompt < 1 || params.n_decode < 0) {
        throw Error(LA_ERR_INVALID, "n_streams must be between 1 and 256, n_prompt at least 1, n_decode at least 0");
    }
    EngineConfig config = engine_config;
    config.raw.n_parallel = params.n_streams;
    config.raw.n_batch = std::max(config.raw.n_batch, params.n_streams);
    const int32_t n_ctx = std::max(context_shape(model, engine_config).n_ctx, params.n_prompt + params.n_decode);
    Context context = make_context(model, config, { n_ctx, params.n_streams, int64_t(n_ctx) * params.n_streams },
                                   make_threads(config));
    llama_context * ctx = context.llama.get();
    Batch batch(config.raw.n_batch);
    // Any valid tokens cost the same; these spread over the vocabulary.
    uint32_t state = 1;
    const auto next_token = [&] {
        state = state * 1664525u + 1013904223u;
        return static_cast<llama_token>((state >> 8) % static_cast<uint32_t>(model.n_vocab()));
    };
    batch.add(next_token(), 0, 0, true);
    decode(ctx, batch); // touches weights and buffers
    llama_memory_clear(llama_get_memory(ctx), true);

    la_bare_result result = {};
    const double start = now_s();
    for (int32_t stream = 0; stream < params.n_streams; ++stream) {
        for (int32_t pos = 0; pos < params.n_prompt; ++pos) {
            if (batch.value.n_tokens == config.raw.n_ubatch) {
                decode(ctx, batch);
            }
            batch.add(next_token(), pos, stream, pos + 1 == params.n_prompt);
        }
    }
    decode(ctx, batch);
    const double prefilled = now_s();
    for (int32_t i = 0; i < params.n_decode; ++i) {
        for (int32_t stream = 0; stream < params.n_streams; ++stream) {
            batch.add(next_token(), params.n_prompt + i, stream, true);
        }
        decode(ctx, batch);
    }
    result.decode_s = now_s() - prefilled;
    result.prefill_s = prefilled - start;
    result.context_bytes = context_bytes(ctx);
    return result;
}

} // namespace la

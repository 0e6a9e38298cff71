// A prompt's graph in slices, beside steps of other sequences in the same memory: neither changes the other.
#include "engine/sliced_context.h"
#include "log/log_ring.h"
#include "testing/check.h"

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using la::Context;
using la::EngineConfig;
using la::Model;
using la::SlicedContext;

constexpr int32_t k_prompt = 96;
constexpr int32_t k_prefix = 20;

EngineConfig config() {
    const char * path = std::getenv("LLAMA_ASYNC_TEST_MODEL");
    la_engine_params params;
    la_engine_params_init(&params);
    params.model_path = { path, path ? std::string(path).size() : 0 };
    params.n_ctx = 256;
    params.n_parallel = 3;
    params.n_threads = 2;
    return EngineConfig(params);
}

// Three sequences: 0 and 2 decode, 1 gets a prompt.
struct Rig {
    std::shared_ptr<const Model> model;
    Context context;
    std::unique_ptr<SlicedContext> sliced;
    llama_batch steps = llama_batch_init(256, 0, 1);
    llama_batch prompt = llama_batch_init(256, 0, 1);
    int32_t n_computed = 0; // of 0 and 2

    Rig() {
        la::install_log();
        const EngineConfig c = config();
        model = Model::load(c, [](float) { return true; });
        context = la::make_context(*model, c, la::context_shape(*model, c), la::make_threads(c));
        CHECK(SlicedContext::is_possible(*model, c, context));
        sliced = std::make_unique<SlicedContext>(*model, c, context);
        step(k_prefix);
    }

    ~Rig() {
        llama_batch_free(steps);
        llama_batch_free(prompt);
    }

    llama_token token(int32_t sequence, int32_t position) const {
        return 3 + (7 * sequence + 5 * position) % (llama_vocab_n_tokens(model->vocab()) - 3);
    }

    void add(llama_batch & batch, int32_t sequence, int32_t position, bool scored) const {
        const int32_t row = batch.n_tokens++;
        batch.token[row] = token(sequence, position);
        batch.pos[row] = position;
        batch.n_seq_id[row] = 1;
        batch.seq_id[row][0] = sequence;
        batch.logits[row] = scored;
    }

    std::vector<float> row(llama_context * ctx, int32_t i) const {
        const float * logits = llama_get_logits_ith(ctx, i);
        return { logits, logits + llama_vocab_n_tokens(model->vocab()) };
    }

    // n more tokens of those who decode. Returns the last one's logits of each.
    std::vector<std::vector<float>> step(int32_t n = 1) {
        std::vector<std::vector<float>> rows;
        for (const int32_t sequence : { 0, 2 }) {
            steps.n_tokens = 0;
            for (int32_t i = 0; i < n; ++i) {
                add(steps, sequence, n_computed + i, i == n - 1);
            }
            CHECK(llama_decode(context.llama.get(), steps) == 0);
            rows.push_back(row(context.llama.get(), n - 1));
        }
        n_computed += n;
        return rows;
    }

    // The prompt's part from `begin` on. Returns its last token's logits.
    template <typename F> std::vector<float> compute(int32_t begin, int32_t n, const F & between) {
        prompt.n_tokens = 0;
        for (int32_t i = 0; i < n; ++i) {
            add(prompt, 1, begin + i, i == n - 1);
        }
        result = sliced->decode(prompt, 1.0, 0.1, between);
        return result == 0 ? row(sliced->llama(), n - 1) : std::vector<float>();
    }

    int32_t result = 0;
};

} // namespace

TEST(a_prompt_and_those_who_decode_do_not_touch_each_other) {
    Rig apart;
    const auto prompt = apart.compute(0, k_prompt, [] {});
    const auto rest = apart.compute(k_prompt, 32, [] {});
    std::vector<std::vector<std::vector<float>>> steps;
    for (int i = 0; i < 24; ++i) {
        steps.push_back(apart.step());
    }

    Rig beside;
    size_t n_steps = 0;
    const auto step = [&] {
        if (n_steps < steps.size()) {
            CHECK(beside.step() == steps[n_steps]);
            ++n_steps;
        }
    };
    CHECK(beside.compute(0, k_prompt, step) == prompt);
    CHECK(n_steps >= 8);
    const size_t n_before = n_steps;
    CHECK(beside.compute(k_prompt, 32, step) == rest);
    CHECK(n_steps > n_before);
    // The other context goes on with the prompt.
    CHECK(llama_memory_seq_pos_max(llama_get_memory(beside.context.llama.get()), 1) == k_prompt + 31);
}

TEST(what_is_thrown_between_slices_ends_the_graph) {
    Rig rig;
    llama_set_abort_callback(
        rig.sliced->llama(), [](void * self) { return static_cast<SlicedContext *>(self)->has_failed(); }, rig.sliced.get());
    int n_calls = 0;
    rig.compute(0, k_prompt, [&] {
        ++n_calls;
        throw std::runtime_error("no");
    });
    CHECK(rig.result == 2 && n_calls == 1);
    bool thrown = false;
    try {
        rig.sliced->rethrow();
    } catch (const std::runtime_error & error) {
        thrown = std::string(error.what()) == "no";
    }
    CHECK(thrown && !rig.sliced->has_failed());
    rig.sliced->rethrow(); // nothing more
    // Both go on.
    rig.step();
    llama_memory_seq_rm(llama_get_memory(rig.context.llama.get()), 1, 0, -1);
    CHECK(!rig.compute(0, k_prompt, [] {}).empty());
}

TEST(the_borrower_does_not_free_what_it_borrowed) {
    Rig rig;
    rig.compute(0, k_prompt, [] {});
    rig.sliced.reset();
    rig.step();
    CHECK(llama_memory_seq_pos_max(llama_get_memory(rig.context.llama.get()), 1) == k_prompt - 1);
}

TEST_MAIN

#include "speculative/next_heads.h"

#include "base/asserts.h"
#include "base/error.h"
#include "engine/timed_step.h"

#include "../src/llama-ext.h" // relative to common/, as upstream's own common includes it

#include <algorithm>

namespace la {

NextHeads::NextHeads(std::shared_ptr<const Model> model, const EngineConfig & config, const Context & target,
                     Threads threads, const std::atomic<bool> & closing)
    : model_(std::move(model)), has_guessed_(static_cast<size_t>(config.raw.n_parallel)), closing_(closing) {
    if (llama_model_n_layer_nextn(model_->weights()) == 0) {
        throw Error(LA_ERR_LOAD,
                    "speculative names draft-mtp, but '" + model_->path() + "' has no layers that predict more tokens",
                    "speculative");
    }
    context_ = make_heads_context(*model_, config, target, std::move(threads));
    params_.types = { COMMON_SPECULATIVE_TYPE_DRAFT_MTP };
    params_.draft.ctx_tgt = target.llama.get();
    params_.draft.ctx_dft = context_.llama.get();
    params_.draft.n_max = config.raw.speculation.n_max < 0 ? k_default_max : std::max(1, config.speculation.n_max);
    params_.draft.p_min = config.speculation.p_min;
    params_.draft.backend_sampling = false;
    try {
        const AssertsThrow asserts_throw;
        heads_.reset(common_speculative_init(params_, static_cast<uint32_t>(config.raw.n_parallel)));
    } catch (const std::exception & e) {
        throw Error(LA_ERR_LOAD, "the layers of '" + model_->path() + "' that predict more tokens cannot be used: " + e.what(),
                    "speculative");
    }
    rows_ = common_batch(target.llama.get());
}

// Forgets what is computed of the slot beyond n tokens, and all of it if that is fewer. Returns whether n are there.
bool NextHeads::align(int32_t slot, llama_pos n) {
    llama_memory_t memory = llama_get_memory(context_.llama.get());
    if (llama_memory_seq_rm(memory, slot, n, -1) && llama_memory_seq_pos_max(memory, slot) == n - 1) {
        return true;
    }
    llama_memory_seq_rm(memory, slot, -1, -1);
    return n == 0;
}

void NextHeads::follow(const llama_batch & batch) {
    rows_.clear();
    int32_t slot = -1;
    for (int32_t i = 0; i < batch.n_tokens; ++i) {
        if (batch.seq_id[i][0] != slot) { // a slot's rows are neighbours
            slot = batch.seq_id[i][0];
            align(slot, batch.pos[i]);
        }
        rows_.add(batch.token[i], batch.pos[i], slot, false);
    }
    bool done = false;
    timed_step(context_.llama.get(), turns_, aborted_, [&] {
        const AssertsThrow asserts_throw;
        done = common_speculative_process(heads_.get(), rows_);
        return done ? 0 : 1;
    });
    for (int32_t i = 0; i < batch.n_tokens && !done; ++i) {
        align(batch.seq_id[i][0], 0);
    }
}

void NextHeads::guess(std::vector<Wish> & wishes) {
    std::vector<Tokens> guesses(wishes.size());
    int32_t n_asked = 0;
    for (size_t i = 0; i < wishes.size(); ++i) {
        const Wish & wish = wishes[i];
        const auto n_said = static_cast<llama_pos>(wish.said->size());
        if (wish.n <= 0 || !align(wish.slot, n_said)) {
            continue;
        }
        common_speculative_get_draft_params(heads_.get(), wish.slot) = { true, wish.n, n_said, wish.last, wish.said,
                                                                         &guesses[i] };
        ++n_asked;
    }
    if (n_asked == 0 || closing_.load(std::memory_order_relaxed)) {
        return;
    }
    const auto [result, seconds] = timed_step(context_.llama.get(), turns_, aborted_, [&] {
        const AssertsThrow asserts_throw;
        common_speculative_draft(heads_.get());
        return 0;
    });
    int32_t n_guessed = 0;
    for (size_t i = 0; i < wishes.size(); ++i) {
        common_speculative_get_draft_params(heads_.get(), wishes[i].slot).drafting = false;
        align(wishes[i].slot, static_cast<llama_pos>(wishes[i].said->size()));
        if (result == 0 && !guesses[i].empty()) {
            has_guessed_[static_cast<size_t>(wishes[i].slot)] = true;
            wishes[i].out->insert(wishes[i].out->end(), guesses[i].begin(), guesses[i].end());
            n_guessed += static_cast<int32_t>(guesses[i].size());
        }
    }
    if (n_guessed > 0) {
        note_time(seconds, n_guessed);
    }
}

void NextHeads::note(int32_t slot, int32_t n_right) {
    if (has_guessed_[static_cast<size_t>(slot)]) {
        common_speculative_accept(heads_.get(), slot, static_cast<uint16_t>(n_right));
    }
}

} // namespace la

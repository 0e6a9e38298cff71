#include "engine/slot_memory.h"

#include "base/asserts.h"
#include "log/log_ring.h"

#include <exception>

namespace la {

// A state goes to main memory and back at about this pace on the machines measured.
static constexpr double k_copy_bytes_per_s = 3e9;

SlotMemory::SlotMemory(const Model & model, const EngineConfig & config, llama_context * ctx)
    : ctx_(ctx),
      unified_(config.raw.kv_unified != 0),
      recurrent_(model.is_recurrent()),
      swa_cut_(model.n_swa() > 0 && (unified_ || config.raw.swa_full == 0)),
      can_cut_(!recurrent_ && !swa_cut_),
      n_swa_(model.n_swa()),
      copy_token_s_(double(model.kv_token_bytes(cache_type(config.type_k, "type_k"),
                                                cache_type(config.type_v, "type_v"))) /
                    k_copy_bytes_per_s),
      computed_(static_cast<size_t>(config.raw.n_parallel)),
      n_prompt_(static_cast<size_t>(config.raw.n_parallel)),
      store_(config.prefix_cache_bytes(), can_cut_) {}

void SlotMemory::append(int32_t slot, const llama_token * tokens, int32_t n) {
    computed_[slot].insert(computed_[slot].end(), tokens, tokens + n);
}

int32_t SlotMemory::first_cut(int32_t slot) const {
    if (recurrent_) {
        return static_cast<int32_t>(computed_[slot].size());
    }
    if (!swa_cut_ || computed_[slot].empty()) {
        return 0;
    }
    const llama_pos first = llama_memory_seq_pos_min(memory(), slot);
    if (first < 0) {
        return static_cast<int32_t>(computed_[slot].size());
    }
    return first == 0 ? 0 : first + n_swa_;
}

bool SlotMemory::cut(int32_t slot, int32_t n) {
    // Asked before: seq_rm says yes although the window before n may be gone.
    const bool possible = n == 0 || n >= first_cut(slot);
    if (!possible || !llama_memory_seq_rm(memory(), slot, n, -1)) {
        return false;
    }
    computed_[slot].resize(static_cast<size_t>(n));
    return true;
}

void SlotMemory::clear(int32_t slot) {
    llama_memory_seq_rm(memory(), slot, -1, -1);
    computed_[slot].clear();
}

bool SlotMemory::drop_rest(int32_t slot) {
    const auto n = static_cast<llama_pos>(computed_[slot].size());
    // A recurrent state steps back by itself, as far as it was told to remember.
    const bool possible = recurrent_ || n >= first_cut(slot);
    return possible && llama_memory_seq_rm(memory(), slot, n, -1);
}

int32_t SlotMemory::start(const Placement & placement, const Tokens & prompt) {
    const int32_t slot = placement.slot;
    // Taken out before anything else is put in.
    const KeptStatePtr stored = placement.stored >= 0 ? store_.use(placement.stored) : nullptr;
    keep_what_is_lost(slot, placement.source >= 0 ? computed_[placement.source] : stored ? stored->tokens : prompt);
    bool there = placement.n_reused > 0;
    if (stored) {
        there = set(slot, *stored);
    } else if (placement.source >= 0) {
        there = copy(placement.source, slot, placement.n_reused);
    }
    if (!there || !cut(slot, placement.n_reused)) {
        clear(slot);
    }
    n_prompt_[slot] = static_cast<int32_t>(prompt.size()) - 1;
    return static_cast<int32_t>(computed_[slot].size());
}

double SlotMemory::start_s(const Placement & placement) const {
    const size_t n = unified_                ? 0
                     : placement.source >= 0 ? computed_[placement.source].size()
                     : placement.stored >= 0 ? static_cast<size_t>(placement.n_reused)
                                             : 0;
    return copy_token_s_ * static_cast<double>(n);
}

void SlotMemory::give_up(int32_t slot) {
    keep_what_is_lost(slot, {});
    clear(slot);
}

void SlotMemory::keep_what_is_lost(int32_t slot, const Tokens & next) {
    const auto n_computed = static_cast<int32_t>(computed_[slot].size());
    const auto n_common = static_cast<int32_t>(common_prefix(computed_[slot], next));
    if (n_computed - n_common < k_worth_keeping) {
        return;
    }
    // A copy has no more than the last window: it serves only whole, and who goes on with the conversation may spell the
    // answer otherwise. As long as the window reaches back, it is taken where the answer began.
    if (swa_cut_ && n_common <= n_prompt_[slot] && n_prompt_[slot] < n_computed) {
        cut(slot, n_prompt_[slot]);
    }
    keep(slot);
}

void SlotMemory::keep(int32_t slot) {
    const Tokens & tokens = computed_[slot];
    if (tokens.size() < static_cast<size_t>(k_worth_keeping) || store_.covers(tokens)) {
        return;
    }
    for (size_t other = 0; other < computed_.size() && can_cut_; ++other) {
        if (static_cast<int32_t>(other) != slot && common_prefix(computed_[other], tokens) == tokens.size()) {
            return; // another slot has it
        }
    }
    const size_t n_bytes = state_bytes(slot);
    if (store_.fits(n_bytes)) {
        if (auto state = state_of(slot, n_bytes)) {
            store_.put(std::move(state));
        }
    }
}

// Null if it cannot be had.
std::shared_ptr<KeptState> SlotMemory::state_of(int32_t slot, size_t n_bytes) const {
    try {
        const AssertsThrow asserts_throw;
        auto state = std::make_shared<KeptState>();
        state->tokens = computed_[slot];
        state->size = n_bytes;
        state->data.reset(new uint8_t[n_bytes]); // not zeroed
        const size_t n_written = llama_state_seq_get_data(ctx_, state->data.get(), n_bytes, slot);
        return n_written > 0 && n_written == n_bytes ? state : nullptr;
    } catch (const std::exception & e) {
        log_warning(std::string("a prefix cannot be kept: ") + e.what());
        return nullptr;
    }
}

bool SlotMemory::set(int32_t slot, const KeptState & state) {
    clear(slot);
    try {
        const AssertsThrow asserts_throw;
        if (llama_state_seq_set_data(ctx_, state.data.get(), state.size, slot) != state.size) {
            return false;
        }
    } catch (const std::exception & e) {
        log_warning(std::string("a kept prefix cannot be had back: ") + e.what());
        return false;
    }
    computed_[slot] = state.tokens;
    return true;
}

bool SlotMemory::copy(int32_t source, int32_t slot, int32_t n_reused) {
    if (unified_) {
        clear(slot);
        llama_memory_seq_cp(memory(), source, slot, -1, -1); // metadata only
        computed_[slot] = computed_[source];
        return true;
    }
    // Between streams upstream would copy all cells, used or not, and only at the next step, when the source may have
    // become another's.
    const auto state = state_of(source, state_bytes(source));
    if (!state || !set(slot, *state)) {
        return false;
    }
    // Who starts so may not be the last one to.
    if (store_.fits(state->size) && 2 * static_cast<size_t>(n_reused) >= state->tokens.size()) {
        store_.put(state);
    }
    return true;
}

} // namespace la

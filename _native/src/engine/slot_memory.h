// The states of the slots: what each has computed, and how one becomes another's. The only writer of the context's
// memory beside llama_decode.
#pragma once

#include "engine/context.h"
#include "model/model.h"
#include "prefix/store.h"

#include "llama.h"

#include <cstdint>
#include <vector>

namespace la {

// Not thread-safe: the decode thread's.
class SlotMemory {
  public:
    // Fewer tokens are computed again about as fast as they are found.
    static constexpr int32_t k_worth_keeping = 64;

    // The references outlive it.
    SlotMemory(const Model & model, const EngineConfig & config, llama_context * ctx);

    const Tokens & computed(int32_t slot) const { return computed_[slot]; }
    // The step that computed them went well.
    void append(int32_t slot, const llama_token * tokens, int32_t n);

    // Forgets the slot's tokens from n on. Returns false when the state cannot be had that way: then it is as it was,
    // or, where that is found out too late, gone.
    bool cut(int32_t slot, int32_t n);
    void clear(int32_t slot);
    // Forgets what was computed beyond computed(): guesses that were wrong. Returns false when that cannot be: then the slot's
    // state is of no use any more.
    bool drop_rest(int32_t slot);

    // What the slot's state can be cut back to (SlotView::first_cut).
    int32_t first_cut(int32_t slot) const;
    // Whether every state can be cut anywhere.
    bool can_cut() const { return can_cut_; }
    // Whether a state can never be cut.
    bool is_recurrent() const { return recurrent_; }

    // Makes `slot` ready for `prompt` as `placement` says; what it held before is kept in main memory if that is worth
    // it. Returns how many tokens of the prompt it holds now.
    int32_t start(const Placement & placement, const Tokens & prompt);

    // Keeps a copy of the slot's state in main memory, unless there is no room or it is there already.
    void keep(int32_t slot);
    // Forgets all that is kept in main memory.
    void forget_kept() { store_.clear(); }
    // Empties the slot, after keeping what it holds.
    void give_up(int32_t slot);
    // The slot's sequence will go on from where it is now, not from its prompt's end.
    void pause(int32_t slot) { n_prompt_[slot] = static_cast<int32_t>(computed_[slot].size()); }

    std::vector<StoredView> stored() const { return store_.views(); }
    size_t stored_bytes() const { return store_.bytes(); }

    // What a copy costs, in seconds for each token, and what start() copies.
    double copy_token_s() const { return copy_token_s_; }
    double start_s(const Placement & placement) const;
    bool copies_for_nothing() const { return unified_; }
    bool can_keep() const { return store_.fits(1); }

  private:
    llama_memory_t memory() const { return llama_get_memory(ctx_); }
    size_t state_bytes(int32_t slot) const { return llama_state_seq_get_size(ctx_, slot); }
    std::shared_ptr<KeptState> state_of(int32_t slot, size_t n_bytes) const;
    bool copy(int32_t source, int32_t slot, int32_t n_reused);
    bool set(int32_t slot, const KeptState & state);
    void keep_what_is_lost(int32_t slot, const Tokens & next);

    llama_context * const ctx_;
    const bool unified_;
    const bool recurrent_; // or hybrid: a state cannot step back
    // Cells of sliding-window layers may be gone: they forget what left the window, and in a unified cache, even one of
    // full size, upstream reuses cells that no query can see any more.
    const bool swa_cut_;
    const bool can_cut_;
    const int32_t n_swa_;
    const double copy_token_s_;
    std::vector<Tokens> computed_;
    std::vector<int32_t> n_prompt_; // of computed_, all that the next turn is sure to begin with
    PrefixStore store_;
};

} // namespace la

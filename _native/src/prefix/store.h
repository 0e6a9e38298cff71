// States of sequences kept in main memory, within a budget: the longest unused leaves first.
#pragma once

#include "prefix/prefix.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace la {

struct KeptState {
    Tokens tokens;
    std::unique_ptr<uint8_t[]> data; // as llama_state_seq_get_data writes it
    size_t size = 0;
};

using KeptStatePtr = std::shared_ptr<const KeptState>;

// Not thread-safe.
class PrefixStore {
  public:
    // `can_cut`: a state serves for every beginning of its tokens, so one that begins another's is not kept beside it.
    PrefixStore(size_t budget_bytes, bool can_cut) : budget_(budget_bytes), can_cut_(can_cut) {}

    // Whether a state is there already that serves for `tokens` as well.
    bool covers(const Tokens & tokens) const;
    // Whether a state of so many bytes may be kept at all.
    bool fits(size_t bytes) const { return bytes <= budget_; }

    // REQUIRES: fits(state->size).
    void put(KeptStatePtr state);

    void clear();

    // Of all that is kept; an index is good until the next put().
    std::vector<StoredView> views() const;
    // Counts as a use.
    KeptStatePtr use(int32_t index);

    size_t bytes() const { return bytes_; }

  private:
    struct Entry {
        KeptStatePtr state;
        uint64_t last_used;
    };

    void remove(size_t index);
    bool serves(const Tokens & kept, const Tokens & wanted) const;

    const size_t budget_;
    const bool can_cut_;
    size_t bytes_ = 0;
    uint64_t n_uses_ = 0;
    std::vector<Entry> entries_;
};

} // namespace la

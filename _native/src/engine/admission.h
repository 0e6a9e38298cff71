// The sequences that wait for a slot, in the order in which they get one.
#pragma once

#include "sequence/sequence.h"

#include <cstddef>
#include <deque>

namespace la {

// Higher priority first, then in order of arrival; but each k_fair_share-th slot goes to whoever waits longest, so that a
// steady stream of important requests starves nobody. Not thread-safe.
class AdmissionQueue {
  public:
    static constexpr int32_t k_fair_share = 8;

    // Also of one that had a slot before: it is older than whoever arrived since. If it throws, nothing was taken.
    void add(SequencePtr && sequence);
    SequencePtr take(size_t index);
    void remove(const RequestPtr & request);

    // Puts first whoever waits longest, if it is his turn.
    void favour_oldest();

    bool empty() const { return waiting_.empty(); }
    size_t size() const { return waiting_.size(); }
    const Sequence & at(size_t index) const { return *waiting_[index]; }

  private:
    std::deque<SequencePtr> waiting_;
    int32_t n_taken_ = 0; // since the last one that went by its age
};

} // namespace la

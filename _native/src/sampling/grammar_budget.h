// What one token may cost under a grammar.
//
// All ways that a grammar leaves open are followed, and `s ::= [^Z] s? s? s?` leaves more of them with each character: the
// decode thread, and with it every other request, would wait. Memory is limited elsewhere; this limits time.
//
// Everything is of the calling thread.
#pragma once

#include "base/error.h"

#include <cstdint>

namespace la {

// While one lives, the work of this thread is counted; an inner one has no effect. Outside of one nothing is limited.
class GrammarStep {
  public:
    // Some 20 ns each. Following one character under a schema's grammar takes some tens, finding out what a state admits of
    // a vocabulary of 49,000 tokens some 100,000.
    static constexpr uint64_t k_accept_work = 200'000;
    static constexpr uint64_t k_mask_work = 10'000'000;

    explicit GrammarStep(uint64_t n_work) : outermost_(left() == k_unlimited) {
        if (outermost_) {
            left() = n_work;
        }
    }
    ~GrammarStep() {
        if (outermost_) {
            left() = k_unlimited;
        }
    }
    GrammarStep(const GrammarStep &) = delete;
    GrammarStep & operator=(const GrammarStep &) = delete;

    // Throws Error (LA_ERR_GRAMMAR).
    static void work(uint64_t n) {
        uint64_t & left_now = left();
        if (left_now == k_unlimited) {
            return;
        }
        if (n > left_now) {
            throw Error(LA_ERR_GRAMMAR, "grammar leaves too many ways open to go on: a token takes too much work", "grammar");
        }
        left_now -= n;
    }

  private:
    static constexpr uint64_t k_unlimited = UINT64_MAX;

    static uint64_t & left() {
        static thread_local uint64_t n = k_unlimited;
        return n;
    }

    const bool outermost_;
};

} // namespace la

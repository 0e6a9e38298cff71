// What of a row a chain has to see that cuts it down to the best few first.
#pragma once

#include "sampling/automaton.h"

#include "common.h"
#include "llama.h"

#include <cstdint>
#include <vector>

namespace la {

// Upstream's chain gets an array of the whole vocabulary, and most chains begin by keeping the `top_k` best of it. What comes
// before may move tokens, but only known ones: those with a bias, and those said lately (penalties, DRY). So the best of
// the row, as many more as can have moved, and what can have moved itself are all that top-k could keep. With the default
// chain that is 40 candidates instead of 49,152.
//
// Not thread-safe.
class Shortlist {
  public:
    // For a chain of `params`, whose penalties look back n_look_back tokens.
    Shortlist(const common_params_sampling & params, int32_t n_look_back, int32_t n_vocab);

    // Whether the chain is of that kind, and the list short.
    bool applies() const { return n_best_ > 0; }

    // A token was said. REQUIRES: applies(), as below.
    void accept(llama_token token);

    // Sets `candidates`, of what is admitted; null: of all. REQUIRES: no NaN in the row.
    void fill(const float * row, const Admitted * admitted, std::vector<llama_token_data> & candidates);

  private:
    int32_t n_vocab_;
    int32_t n_best_ = 0; // that are kept; 0: it does not apply
    std::vector<llama_token> biased_;
    std::vector<llama_token> said_; // a ring
    size_t n_said_ = 0;
    size_t n_look_back_ = 0;
    std::vector<llama_token> moved_; // scratch: ascending
    std::vector<int32_t> best_;      // scratch
};

} // namespace la

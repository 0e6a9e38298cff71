// One sequence's guesses: who makes them, what came of them. Decides nothing about slots or steps.
#pragma once

#include "speculative/acceptance.h"
#include "speculative/lookup.h"
#include "speculative/prediction.h"
#include "speculative/spec.h"

#include <memory>
#include <vector>

namespace la {

// Not thread-safe: made on the preparation thread, then the decode thread's.
class Guesser {
  public:
    using Tokens = std::vector<llama_token>;

    // Who made a guess.
    enum Source { prediction = 0, lookup = 1, model = 2 };
    static constexpr int k_n_sources = 3;

    // has_model: a second model, or heads of the first, may be asked as well.
    Guesser(const SpeculationSpec & spec, Tokens predicted, bool has_model);

    // Looks for up to n tokens that may follow `said` and `last`. Returns how many there are; where a model would have to
    // compute them first, source() is model and guess() empty still.
    int32_t look(const Tokens & said, llama_token last, int32_t n, SharedNgrams & shared);

    Source source() const { return source_; }
    const Acceptance & acceptance() const { return acceptance_[source_]; }
    // The guess; a model's is filled in.
    Tokens & guess() { return guess_; }
    // Only so many of it go into the step.
    void cut(int32_t n);
    int32_t n_tried() const { return n_tried_; }
    bool has_model() const { return has_model_; }
    int32_t n_min() const { return n_min_; }
    bool adaptive() const { return adaptive_; }
    float p_min() const { return p_min_; }

    // A token was generated, the i-th of its step.
    void note_token(int32_t i, llama_token token);
    // The step is over: so many of the guess's tokens were right, and each cost as much as so many tokens.
    void note_step(int32_t n_right, double token_cost);

    const Prediction * predicted() const { return prediction_.get(); }

  private:
    std::unique_ptr<Prediction> prediction_; // null: none
    Lookup lookup_;
    const bool has_model_;
    const int32_t n_max_;
    const int32_t n_min_;
    const float p_min_;
    const bool adaptive_;
    Acceptance acceptance_[k_n_sources];
    Source source_ = lookup;
    Tokens guess_;
    Tokens other_;        // scratch
    int32_t n_tried_ = 0; // of guess_
    llama_token untried_ = -1; // the first of a guess that did not go into the step
};

} // namespace la

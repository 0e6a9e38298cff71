#include "speculative/guesser.h"

#include <algorithm>

namespace la {

// Who says what the answer will be mostly knows; text repeats itself now and then; a model is asked by its owner's choice. The
// first row of each is what nothing was seen of, the second a long row of right ones.
Guesser::Guesser(const SpeculationSpec & spec, Tokens predicted, bool has_model)
    : lookup_(spec), has_model_(has_model), n_max_(spec.n_max), n_min_(spec.n_min), p_min_(spec.p_min), adaptive_(spec.adaptive),
      acceptance_{ { 0.7, 0.95, 2 }, { 0.4, 0.95, 1.5 }, { 0.7, 0.8, 1 } } {
    if (!predicted.empty()) {
        prediction_ = std::make_unique<Prediction>(std::move(predicted));
    }
}

int32_t Guesser::look(const Tokens & said, llama_token last, int32_t n, SharedNgrams & shared) {
    n = std::min(n, n_max_);
    guess_.clear();
    n_tried_ = 0;
    untried_ = -1;
    if (n <= 0) {
        return 0;
    }
    source_ = prediction;
    if (prediction_) {
        prediction_->guess(n, guess_);
    }
    if (guess_.empty() || acceptance_[lookup].p() > acceptance_[prediction].p()) {
        other_.clear();
        lookup_.guess(said, last, n, shared, other_);
        if (!other_.empty()) {
            guess_.swap(other_);
            source_ = lookup;
        }
    }
    if (has_model_ && (guess_.empty() || acceptance_[model].p() > acceptance_[source_].p())) {
        guess_.clear();
        source_ = model;
        return n;
    }
    return static_cast<int32_t>(guess_.size());
}

void Guesser::cut(int32_t n) {
    if (n == 0 && !guess_.empty()) {
        untried_ = guess_.front();
    }
    guess_.resize(std::min(guess_.size(), static_cast<size_t>(n)));
    n_tried_ = static_cast<int32_t>(guess_.size());
}

void Guesser::note_token(int32_t i, llama_token token) {
    for (int source = 0; source < k_n_sources; ++source) {
        acceptance_[source].note_token();
        if (i == 0 && source == source_ && untried_ >= 0) {
            acceptance_[source].note_untried(untried_ == token);
        } else if (i == 0 && (source != source_ || n_tried_ == 0)) {
            acceptance_[source].note_idle();
        }
    }
    if (prediction_) {
        prediction_->note(token);
    }
}

void Guesser::note_step(int32_t n_right, double token_cost) {
    if (n_tried_ > 0) {
        acceptance_[source_].note(n_tried_, n_right, n_tried_ * token_cost);
        if (source_ == lookup) {
            lookup_.note(n_tried_, n_right);
        }
    }
}

} // namespace la

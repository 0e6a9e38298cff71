// la_sampling -> upstream's sampler chain, and the probabilities that a request asked for.
#pragma once

#include "llama_async.h"
#include "sampling/gate.h"
#include "sampling/shortlist.h"

#include "sampling.h" // common's

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace la {

class Model;

// Fills in upstream's defaults (common_params_sampling at the pinned commit).
void init_sampling(la_sampling & sampling);

// Owning copy of la_sampling, checked. Throws Error (LA_ERR_INVALID) naming the parameter. What needs the vocabulary is
// checked when the Sampler is made.
struct SamplingSpec {
    explicit SamplingSpec(const la_sampling & sampling);

    la_sampling raw; // its pointers are not used
    std::vector<la_logit_bias> logit_bias;
    std::vector<std::string> dry_breakers;
    std::vector<common_sampler_type> samplers; // empty: upstream's order
    std::string grammar;
};

// One sequence's sampler. Not thread-safe; made on the preparation thread, then used by the decode thread, or by another
// compute thread while that one waits.
class Sampler {
  public:
    // Choice i is seeded with seed + i. `grammar` is the constraint's, compiled, or null where it has none. Throws Error:
    // LA_ERR_INVALID, LA_ERR_GRAMMAR.
    Sampler(const Model & model, const SamplingSpec & spec, const Constraint & constraint, SharedGrammarPtr grammar,
            int32_t choice, int32_t n_ctx);

    // The prompt counts for penalties and DRY, as in llama-server.
    void accept_prompt(const std::vector<llama_token> & prompt);

    // Chooses from a row of logits, which is left as it was, and remembers the choice. Throws Error (LA_ERR_INTERNAL)
    // when the row is not finite, LA_ERR_INVALID when nothing may be chosen, whatever upstream throws otherwise.
    llama_token sample(float * row);
    // Whether sample() touches nothing that another sampler's touches: a grammar's automaton is shared.
    bool is_alone() const { return !gate_; }

    // Remembers a token that was chosen otherwise. Throws what upstream throws if the grammar does not admit it.
    void accept(llama_token token);

  private:
    [[noreturn]] void throw_no_choice(const float * row) const;
    llama_token sample_greedily(float * row);
    llama_token best_of(float * row);
    llama_token sample_by_chain(const float * row);
    llama_token choose(const float * row, const Admitted * admitted);
    void accept_by_chain(llama_token token);

    bool greedy_; // plain argmax: no chain, no copy of the vocabulary, no sort
    // Whether the chain comes to the same when forbidden tokens are not among its candidates at all.
    bool leaves_out_ = false;
    std::vector<llama_logit_bias> biases_; // of a greedy one; otherwise they are in the chain
    std::vector<std::pair<llama_token, float>> saved_; // scratch: what a row held
    std::vector<llama_token_data> candidates_;         // scratch of the chain
    std::unique_ptr<Gate> gate_; // null: everything is let through
    int32_t n_vocab_;
    int32_t n_look_back_; // prompt tokens that can matter
    common_sampler_ptr chain_;
    std::optional<Shortlist> shortlist_; // none: the chain has to see all candidates
};

// Appends the la_logprob entry of `token` and its `n_top` best alternatives, from the model's own distribution. Throws
// Error (LA_ERR_INTERNAL) when the row is not finite.
void append_logprobs(const Model & model, const float * row, llama_token token, int32_t n_top, std::string & out);

// The entry of a token that nothing was computed for, the first of a prompt: its logprob is NaN.
void append_unscored(const Model & model, llama_token token, std::string & out);

} // namespace la

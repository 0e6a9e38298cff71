// One choice of one request while it waits for a slot, prefills and decodes. The decode thread's alone.
#pragma once

#include "chat/answer.h"
#include "request/request.h"
#include "sampling/sampler.h"
#include "speculative/guesser.h"
#include "text/phases.h"
#include "text/stop.h"
#include "text/utf8.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace la {

class Model;

// What ends an answer, or its thinking, beside the model itself.
struct Limits {
    std::vector<std::string> stops;          // of what is said: neither thoughts nor calls are cut
    std::vector<std::string> template_stops; // of all text
    PhaseFinder phases;                      // as the prompt leaves it
    int32_t n_thoughts = -1;                 // tokens of thinking, all together; -1: any number
    std::vector<llama_token> end_of_thinking; // what says that it is over
};

class Sequence {
  public:
    Sequence(RequestPtr request, int32_t choice, Sampler sampler, const Limits & limits);

    // What adding a token means for the sequence.
    struct Step {
        la_finish finish = LA_FINISH_NONE;
        bool has_news = false; // text(), parts() or logprobs() are not empty
    };

    // The next token: sampled from a row of logits, which is left as it was, or the next of the thinking's end once its
    // budget is spent. Throws what Sampler::sample does, and what the grammar does with an end that it does not know.
    llama_token choose(const Model & model, float * row);
    // Whether choose() may be called on another thread, beside other sequences' choose().
    bool chooses_alone() const { return sampler_.is_alone(); }
    // What choose() takes, smoothed, in seconds; 0: not known yet.
    double choice_s() const { return choice_s_; }

    // Takes the token that was chosen last: its text passes UTF-8 reassembly and stop strings into text(). n_ctx: tokens of
    // prompt and answer together.
    Step add(const Model & model, llama_token token, int32_t n_ctx);

    // What add() produced since the last clear(); after a finish nothing is withheld any more.
    const std::string & text() const { return text_; }
    // The same, read by the request's format, if it has one: then text() is empty.
    std::vector<AnswerPart> & parts() { return parts_; }
    const std::string & logprobs() const { return logprobs_; }
    int32_t n_new() const { return n_new_; }
    void clear_news();

    bool wants_logprobs() const { return request->spec.sampling.raw.top_logprobs >= 0; }

    // What has to be computed before it can go on: the prompt or, of one that lost its slot, all up to where it was.
    const std::vector<llama_token> & target() const { return resumed_.empty() ? request->prompt : resumed_; }
    // It lost its slot, which had computed so much.
    void stop_at(std::vector<llama_token> computed);

    // Whether it is the one that computes the log probabilities of the prompt, and has not done so yet.
    bool scores_prompt() const { return choice == 0 && request->spec.prompt_logprobs && !request->scored; }

    const RequestPtr request;
    const int32_t choice;
    llama_token last = -1; // sampled, not decoded yet
    int32_t n_generated = 0;
    std::unique_ptr<Guesser> guesser; // null: nothing is guessed
    bool favoured = false;  // waits longest: goes first, and keeps its slot
    bool preempted = false; // lost a slot to somebody else once: keeps the next one

  private:
    struct Logprob {
        size_t start; // of the token's text, in bytes of the whole answer
        size_t end;
        std::string entry;
    };

    // Text is certain up to n_released_ bytes: so are the entries of the tokens behind it.
    void release_logprobs(bool all);
    void read_text(Step & step);
    // Hands text on to text(); true when a stop string ends it. With `last`, what is withheld follows.
    bool hand_on(std::string_view text, bool last);
    bool hand_on_said(std::string_view text);
    bool must_stop_thinking() const;
    // Tokens that begin between the marks of the thinking, or, where a template has none, up to the thinking's end.
    int32_t n_reasoning() const;
    const std::string & piece_of(const Model & model, llama_token token) const;

    llama_token choose_any(float * row);

    Sampler sampler_;
    double choice_s_ = 0;
    std::string entry_; // of the chosen token's log probability
    std::vector<llama_token> resumed_;
    Utf8Assembler utf8_;
    StopMatcher template_stop_;
    StopMatcher stop_;
    PhaseFinder phases_;
    const int32_t max_thoughts_;
    int32_t n_thoughts_ = 0; // against the budget: a mark's first tokens are among them
    std::vector<std::pair<size_t, size_t>> thoughts_; // between marks, in bytes of the text that was handed on
    size_t n_phased_ = 0;
    const std::vector<llama_token> end_of_thinking_;
    size_t n_forced_ = 0; // of end_of_thinking_; 0: none is forced now
    std::string text_;
    std::unique_ptr<AnswerParser> parser_; // null: nothing to read
    std::vector<AnswerPart> parts_;
    std::string logprobs_;
    std::deque<Logprob> waiting_logprobs_;
    size_t n_assembled_ = 0;
    size_t n_released_ = 0;
    int32_t n_new_ = 0;
    std::string assembled_; // scratch
    std::string passed_;    // scratch
};

using SequencePtr = std::unique_ptr<Sequence>;

} // namespace la

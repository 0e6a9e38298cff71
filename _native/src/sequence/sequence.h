// One choice of one request while it waits for a slot, prefills and decodes. The decode thread's alone.
#pragma once

#include "chat/answer.h"
#include "request/request.h"
#include "sampling/sampler.h"
#include "text/stop.h"
#include "text/utf8.h"

#include <deque>
#include <memory>
#include <string>

namespace la {

class Model;

class Sequence {
  public:
    Sequence(RequestPtr request, int32_t choice, Sampler sampler, std::vector<std::string> stops);

    // What adding a token means for the sequence.
    struct Step {
        la_finish finish = LA_FINISH_NONE;
        bool has_news = false; // text(), parts() or logprobs() are not empty
    };

    // Takes a sampled token: its text passes UTF-8 reassembly and stop strings into text(). `row` holds the logits that
    // it was chosen from. n_ctx: tokens of prompt and answer together.
    Step add(const Model & model, llama_token token, const float * row, int32_t n_ctx);

    // What add() produced since the last clear(); after a finish nothing is withheld any more.
    const std::string & text() const { return text_; }
    // The same, read by the request's format, if it has one: then text() is empty.
    std::vector<AnswerPart> & parts() { return parts_; }
    const std::string & logprobs() const { return logprobs_; }
    int32_t n_new() const { return n_new_; }
    void clear_news();

    bool wants_logprobs() const { return request->spec.sampling.raw.top_logprobs >= 0; }

    // Whether it is the one that computes the log probabilities of the prompt, and has not done so yet.
    bool scores_prompt() const { return choice == 0 && request->spec.prompt_logprobs && !request->scored; }

    const RequestPtr request;
    const int32_t choice;
    Sampler sampler;
    llama_token last = -1; // sampled, not decoded yet
    int32_t n_generated = 0;

  private:
    struct Logprob {
        size_t start; // of the token's text, in bytes of the whole answer
        size_t end;
        std::string entry;
    };

    // Text is certain up to n_released_ bytes: so are the entries of the tokens behind it.
    void release_logprobs(bool all);
    void read_text(Step & step);
    const std::string & piece_of(const Model & model, llama_token token) const;

    Utf8Assembler utf8_;
    StopMatcher stop_;
    std::string text_;
    std::unique_ptr<AnswerParser> parser_; // null: nothing to read
    std::vector<AnswerPart> parts_;
    std::string logprobs_;
    std::deque<Logprob> waiting_logprobs_;
    size_t n_assembled_ = 0;
    size_t n_released_ = 0;
    int32_t n_new_ = 0;
    std::string assembled_; // scratch
};

using SequencePtr = std::unique_ptr<Sequence>;

} // namespace la

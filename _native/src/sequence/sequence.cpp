#include "sequence/sequence.h"

#include "model/model.h"

namespace la {

Sequence::Sequence(RequestPtr request, int32_t choice, Sampler sampler, std::vector<std::string> stops)
    : request(std::move(request)), choice(choice), sampler(std::move(sampler)), stop_(std::move(stops)) {
    if (this->request->format) {
        parser_ = std::make_unique<AnswerParser>(this->request->format);
    }
}

Sequence::Step Sequence::add(const Model & model, llama_token token, const float * row, int32_t n_ctx) {
    Step step;
    ++n_generated;
    ++n_new_;
    const size_t n_before = text_.size();
    bool stopped = false;
    assembled_.clear();
    if (model.is_end(token)) {
        step.finish = LA_FINISH_STOP;
    } else {
        const std::string & piece = piece_of(model, token);
        utf8_.push(piece, assembled_);
        if (wants_logprobs()) {
            Logprob waiting = { n_assembled_, n_assembled_ + assembled_.size(), {} };
            append_logprobs(model, row, token, request->spec.sampling.raw.top_logprobs, waiting.entry);
            waiting_logprobs_.push_back(std::move(waiting));
        }
        n_assembled_ += assembled_.size();
        stopped = stop_.push(assembled_, text_);
        const auto n_prompt = static_cast<int32_t>(request->prompt.size());
        const int32_t max_tokens = request->spec.max_tokens;
        if (stopped) {
            step.finish = LA_FINISH_STOP;
        } else if ((max_tokens > 0 && n_generated >= max_tokens) || n_prompt + n_generated >= n_ctx) {
            step.finish = LA_FINISH_LENGTH;
        }
    }
    if (step.finish != LA_FINISH_NONE && !stopped) {
        assembled_.clear();
        utf8_.flush(assembled_);
        stopped = stop_.push(assembled_, text_);
        if (!stopped) {
            stop_.flush(text_);
        }
    }
    n_released_ += text_.size() - n_before;
    if (wants_logprobs()) {
        release_logprobs(step.finish != LA_FINISH_NONE && !stopped);
        if (stopped) {
            waiting_logprobs_.clear(); // of tokens that only spelled the stop string
        }
    }
    last = token;
    if (parser_) {
        read_text(step);
    }
    step.has_news = !text_.empty() || !parts_.empty() || !logprobs_.empty();
    return step;
}

const std::string & Sequence::piece_of(const Model & model, llama_token token) const {
    if (request->format) {
        const auto found = request->format->preserved.find(token);
        if (found != request->format->preserved.end()) {
            return found->second;
        }
    }
    return model.piece(token);
}

void Sequence::read_text(Step & step) {
    parser_->push(text_);
    text_.clear();
    const bool final = step.finish != LA_FINISH_NONE;
    if (final || (request->spec.stream && parser_->due(now_s()))) {
        parser_->update(final, parts_);
    }
    if (final) {
        request->n_reasoning += parser_->n_reasoning();
        if (step.finish == LA_FINISH_STOP && parser_->has_calls()) {
            step.finish = LA_FINISH_TOOL_CALLS;
        }
    }
}

void Sequence::release_logprobs(bool all) {
    while (!waiting_logprobs_.empty() && (all || waiting_logprobs_.front().end <= n_released_ ||
                                          waiting_logprobs_.front().start < n_released_)) {
        logprobs_.append(waiting_logprobs_.front().entry);
        waiting_logprobs_.pop_front();
    }
}

void Sequence::clear_news() {
    text_.clear();
    parts_.clear();
    logprobs_.clear();
    n_new_ = 0;
}

} // namespace la

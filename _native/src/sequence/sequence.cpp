#include "sequence/sequence.h"

#include "base/clock.h"
#include "model/model.h"

#include <algorithm>

namespace la {

Sequence::Sequence(RequestPtr request, int32_t choice, Sampler sampler, const Limits & limits)
    : request(std::move(request)), choice(choice), sampler_(std::move(sampler)), template_stop_(limits.template_stops),
      stop_(limits.stops), phases_(limits.phases), max_thoughts_(limits.n_thoughts),
      end_of_thinking_(limits.end_of_thinking) {
    if (phases_.phase() == PhaseFinder::thinking) {
        thoughts_.emplace_back(0, std::string::npos);
    }
    if (this->request->format) {
        parser_ = std::make_unique<AnswerParser>(this->request->format);
    }
}

llama_token Sequence::choose(const Model & model, float * row) {
    const double start = now_s();
    const llama_token token = choose_any(row);
    entry_.clear();
    if (wants_logprobs() && !model.is_end(token)) {
        append_logprobs(model, row, token, request->spec.sampling.raw.top_logprobs, entry_);
    }
    const double seconds = now_s() - start;
    choice_s_ = choice_s_ == 0 ? seconds : 0.8 * choice_s_ + 0.2 * seconds;
    return token;
}

llama_token Sequence::choose_any(float * row) {
    if (n_forced_ == 0 && !must_stop_thinking()) {
        return sampler_.sample(row);
    }
    const llama_token token = end_of_thinking_[n_forced_];
    n_forced_ = (n_forced_ + 1) % end_of_thinking_.size();
    sampler_.accept(token);
    return token;
}

bool Sequence::must_stop_thinking() const {
    return max_thoughts_ >= 0 && n_thoughts_ >= max_thoughts_ && phases_.phase() == PhaseFinder::thinking &&
           !phases_.within_mark() && utf8_.n_pending() == 0 && !end_of_thinking_.empty();
}

Sequence::Step Sequence::add(const Model & model, llama_token token, int32_t n_ctx) {
    Step step;
    ++n_generated;
    ++n_new_;
    const size_t n_before = text_.size();
    bool stopped = false;
    const bool thought = phases_.phase() == PhaseFinder::thinking;
    assembled_.clear();
    if (model.is_end(token)) {
        step.finish = LA_FINISH_STOP;
    } else {
        const std::string & piece = piece_of(model, token);
        utf8_.push(piece, assembled_);
        if (wants_logprobs()) {
            waiting_logprobs_.push_back({ n_assembled_, n_assembled_ + assembled_.size(), std::move(entry_) });
        }
        n_assembled_ += assembled_.size();
        stopped = hand_on(assembled_, false);
        n_thoughts_ += thought && phases_.phase() == PhaseFinder::thinking ? 1 : 0;
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
        stopped = hand_on(assembled_, true);
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

int32_t Sequence::n_reasoning() const {
    const int32_t n_read = parser_->n_reasoning();
    if (n_read == 0 || thoughts_.empty()) {
        return n_read; // no thinking, or one without marks of its own
    }
    int32_t n = 0;
    for (const auto & [from, to] : thoughts_) {
        n += parser_->n_tokens(from, to);
    }
    return n;
}

bool Sequence::hand_on(std::string_view text, bool last) {
    passed_.clear();
    const bool ended = template_stop_.push(text, passed_);
    if (last && !ended) {
        template_stop_.flush(passed_);
    }
    if (hand_on_said(passed_)) {
        return true;
    }
    if (ended || last) {
        stop_.flush(text_);
    }
    return ended;
}

bool Sequence::hand_on_said(std::string_view text) {
    while (!text.empty()) {
        const bool said = phases_.phase() == PhaseFinder::speaking;
        const bool thought = phases_.phase() == PhaseFinder::thinking;
        const size_t n = phases_.push(text);
        const auto part = text.substr(0, n);
        text.remove_prefix(n);
        n_phased_ += n;
        if (thought && phases_.phase() != PhaseFinder::thinking) {
            thoughts_.back().second = n_phased_ - std::min(n_phased_, phases_.n_mark());
        } else if (!thought && phases_.phase() == PhaseFinder::thinking) {
            thoughts_.emplace_back(n_phased_, std::string::npos);
        }
        if (!said) {
            text_.append(part);
        } else if (stop_.push(part, text_)) {
            return true;
        } else if (phases_.phase() != PhaseFinder::speaking) {
            stop_.flush(text_);
        }
    }
    return false;
}

void Sequence::stop_at(std::vector<llama_token> computed) {
    preempted = true;
    if (last >= 0 && computed.size() >= target().size()) {
        resumed_ = std::move(computed);
        resumed_.push_back(last);
    }
    if (scores_prompt()) {
        request->prompt_logprobs.clear(); // begun anew
    }
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
        request->n_reasoning += n_reasoning();
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

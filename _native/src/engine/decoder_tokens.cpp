// Decoder: what a step computed becomes tokens, and tokens news.
#include "engine/decoder.h"

#include "base/asserts.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/compute_gate.h"

#include <algorithm>

namespace la {

// Of each token that the rows of a part of a prompt predict. Before what is computed is brought up to date.
void Decoder::score(const Item & item) {
    const auto & slot = slots_[item.slot];
    const RequestPtr request = slot.sequence->request;
    const auto & prompt = request->prompt;
    const int32_t n_top = std::max(0, request->spec.sampling.raw.top_logprobs);
    auto & entries = request->prompt_logprobs;
    try {
        const auto n_before = static_cast<size_t>(n_computed(slot));
        if (n_before == 0) {
            append_unscored(*model_, prompt[0], entries);
        }
        for (int32_t i = 0; i < item.n_tokens; ++i) {
            const size_t next = n_before + static_cast<size_t>(i) + 1;
            if (next < prompt.size()) {
                const float * row = llama_get_logits_ith(context_.llama.get(), item.first + i);
                append_logprobs(*model_, row, prompt[next], n_top, entries);
            }
        }
    } catch (const Error & e) {
        drop(request, e.status, e.what());
        return;
    }
    if (item.output >= 0) {
        request->scored = true;
        channel_.post_delta(request->mailbox, -1, {}, entries, static_cast<int32_t>(prompt.size()), LA_FINISH_NONE);
        entries = {};
    }
}

Decoder::Choice Decoder::choose(Sequence & sequence, float * row) const noexcept {
    Choice choice;
    try {
        const AssertsThrow asserts_throw;
        choice.token = sequence.choose(*model_, row);
    } catch (...) {
        choice.error = std::current_exception();
    }
    return choice;
}

// Chooses on all compute threads where that spares more time than it takes to share it. Only from each sequence's first
// row: what comes behind a guess depends on whether it was right.
void Decoder::choose_ahead(const std::vector<Item> & items, const Lane & lane) {
    constexpr double k_worth_sharing_s = 50e-6;
    choosing_.clear();
    double all_s = 0;
    double longest_s = 0;
    for (const auto & item : items) {
        auto & slot = slots_[item.slot];
        if (item.output >= 0 && slot.sequence && slot.sequence->chooses_alone() && slot.sequence->request->spec.max_tokens != 0) {
            choosing_.emplace_back(&slot, llama_get_logits_ith(lane.ctx, item.output));
            all_s += slot.sequence->choice_s();
            longest_s = std::max(longest_s, slot.sequence->choice_s());
        }
    }
    if (all_s - std::max(longest_s, all_s / team_.n_threads()) < k_worth_sharing_s) {
        return;
    }
    const ComputeGate::ShortTurn turn;
    if (turn.is_had()) { // otherwise somebody else uses the threads
        team_.each(static_cast<int32_t>(choosing_.size()), [this](int32_t i) noexcept {
            const auto & [slot, row] = choosing_[static_cast<size_t>(i)];
            slot->ahead = choose(*slot->sequence, row);
        });
    }
}

// Samples each row until a token is another than was guessed, or the sequence is over. Returns how many guesses were right.
int32_t Decoder::sample(const Item & item, const Lane & lane) {
    auto & slot = slots_[item.slot];
    for (int32_t i = 0;; ++i) {
        const llama_token token = sample_next(slot, lane, item.output + i, i);
        if (i == item.n_guessed() || token != lane.batch.token[item.first + i + 1]) {
            return i;
        }
        if (!slot.sequence) {
            return i + 1;
        }
        memory_.append(item.slot, &token, 1);
    }
}

// After a step: what was guessed wrong leaves the slot's state.
void Decoder::settle(const Item & item, int32_t n_right) {
    auto & slot = slots_[item.slot];
    stats_.n_drafted.fetch_add(static_cast<uint64_t>(item.n_guessed()), std::memory_order_relaxed);
    stats_.n_accepted.fetch_add(static_cast<uint64_t>(n_right), std::memory_order_relaxed);
    if (slot.sequence) {
        Guesser & guesser = *slot.sequence->guesser;
        guesser.note_step(n_right, pace_.token_cost(rows_, guess_s(guesser)));
        if (n_right == item.n_guessed()) {
            return;
        }
    }
    if (!memory_.drop_rest(item.slot)) {
        // What a sliding window needs of its past may be overwritten: it is computed again.
        auto computed = memory_.computed(item.slot);
        memory_.clear(item.slot);
        if (slot.sequence) {
            slot.sequence->stop_at(std::move(computed));
        }
    }
}

// Samples one row, the i-th of the slot's in this step; -1: nothing came of it. The sequence may be over.
llama_token Decoder::sample_next(Slot & slot, const Lane & lane, int32_t row_index, int32_t i) {
    auto & sequence = *slot.sequence;
    const RequestPtr request = sequence.request;
    if (request->spec.max_tokens == 0) {
        request->first_token_s = request->last_token_s = now_s();
        channel_.post_delta(request->mailbox, sequence.choice, {}, {}, 0, LA_FINISH_LENGTH);
        finish(slot);
        return -1;
    }
    try {
        const AssertsThrow asserts_throw;
        const Choice choice = slot.ahead ? *slot.ahead : choose(sequence, llama_get_logits_ith(lane.ctx, row_index));
        slot.ahead.reset();
        if (choice.error) {
            std::rethrow_exception(choice.error);
        }
        const llama_token token = choice.token;
        const auto step = sequence.add(*model_, token, context_.n_ctx);
        if (sequence.guesser) {
            sequence.guesser->note_token(i, token);
        }
        const double now = now_s();
        if (request->first_token_s == 0) {
            request->first_token_s = now;
        }
        request->last_token_s = now;
        if (request->spec.stream) {
            request->active_s = now;
        }
        ++request->n_generated;
        stats_.n_generated.fetch_add(1, std::memory_order_relaxed);
        const bool finished = step.finish != LA_FINISH_NONE;
        if (finished || (request->spec.stream && step.has_news)) {
            if (!sequence.parts().empty()) {
                channel_.post_parts(request->mailbox, sequence.choice, sequence.parts());
            }
            channel_.post_delta(request->mailbox, sequence.choice, sequence.text(), sequence.logprobs(),
                                sequence.n_new(), step.finish);
            sequence.clear_news();
        }
        if (finished) {
            finish(slot);
        }
        return token;
    } catch (const Error & e) {
        drop(request, e.status, e.what());
    } catch (const std::exception & e) {
        // Upstream's samplers and grammars throw through C; the fault is this request's alone.
        drop(request, LA_ERR_INTERNAL, std::string("sampling failed: ") + e.what());
    }
    return -1;
}

void Decoder::finish(Slot & slot) {
    const RequestPtr request = slot.sequence->request;
    if (const Prediction * predicted = slot.sequence->guesser ? slot.sequence->guesser->predicted() : nullptr) {
        request->predicted.n_accepted += predicted->n_said();
        request->predicted.n_rejected += predicted->n_unsaid();
    }
    release(slot);
    if (--request->n_running == 0) {
        requests_.end(request, LA_OK);
    }
}

} // namespace la

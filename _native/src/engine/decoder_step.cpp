// Decoder: one step, from what is guessed and planned to what llama_decode says.
#include "engine/decoder.h"

#include "base/clock.h"
#include "engine/timed_step.h"

#include <algorithm>
#include <iterator>

namespace la {

// A graph that is computed in slices takes about so long without what comes between: who asks meanwhile waits for it.
static constexpr double k_graph_s = 0.2;
static constexpr int32_t k_rows = 32; // kernels compute so many at a time
// So often within a slice it is looked whether it is over.
static constexpr int32_t k_slice_parts = 6;

// How many tokens may be guessed for a sequence that decodes: they must fit behind what is there, and none is of use past
// its end.
int32_t Decoder::n_guessable(const Slot & slot) const {
    const auto & sequence = *slot.sequence;
    const int32_t n_room = context_.n_ctx - n_computed(slot) - 2;
    const int32_t max_tokens = sequence.request->spec.max_tokens;
    const int32_t n_wanted = max_tokens > 0 ? max_tokens - sequence.n_generated - 1 : n_room;
    return std::min({ n_room, n_wanted, max_guessed_ });
}

// What each sequence's guesser would put into the next step, as far as it pays.
void Decoder::guess() {
    guessables_.clear();
    guessing_.clear();
    decoding_.clear();
    for (auto & slot : slots_) {
        if (!slot.sequence || n_to_prefill(slot) > 0) {
            continue;
        }
        decoding_.push_back(index(slot));
        Guesser * guesser = slot.sequence->guesser.get();
        if (!guesser) {
            continue;
        }
        const int32_t n = guesser->look(memory_.computed(index(slot)), slot.sequence->last, n_guessable(slot), shared_ngrams_);
        if (n > 0) {
            guessables_.push_back(
                { &guesser->acceptance(), index(slot), n, guesser->n_min(), guess_s(*guesser), guesser->adaptive(), 0 });
            guessing_.push_back(&slot);
        }
    }
    if (guessables_.empty()) {
        return;
    }
    // Each needs a row of logits, of which there are as many as a step may score.
    pace_.allot(guessables_, decoding_, std::min(max_scored_, n_batch_ - n_running()));
    guess_by_model();
    for (size_t i = 0; i < guessing_.size(); ++i) {
        guessing_[i]->sequence->guesser->cut(guessables_[i].n);
    }
}

// Seconds that a token of its guess costs before the step.
double Decoder::guess_s(const Guesser & guesser) const {
    return guessing_model_ && guesser.source() == Guesser::model ? guessing_model_->token_s() : 0;
}

void Decoder::guess_by_model() {
    std::vector<GuessingModel::Wish> wishes;
    for (size_t i = 0; i < guessing_.size(); ++i) {
        auto & sequence = *guessing_[i]->sequence;
        Guesser & guesser = *sequence.guesser;
        const int32_t slot = index(*guessing_[i]);
        if (guessing_model_ && guesser.source() == Guesser::model && guessables_[i].n > 0) {
            wishes.push_back({ slot, &memory_.computed(slot), sequence.last, guessables_[i].n, guesser.p_min(), &guesser.guess() });
        }
    }
    if (!wishes.empty()) {
        guessing_model_->guess(wishes);
    }
}

void Decoder::plan() {
    guess();
    works_.clear();
    items_.clear();
    int32_t n_decoding = 0;
    int32_t n_guessed = 0;
    for (const auto & slot : slots_) {
        if (slot.sequence) {
            works_.push_back({ index(slot), n_to_prefill(slot), 0, slot.sequence->request->id });
            if (works_.back().n_to_prefill == 0) {
                ++n_decoding;
                works_.back().n_guessed = slot.sequence->guesser ? slot.sequence->guesser->n_tried() : 0;
                n_guessed += works_.back().n_guessed;
            }
        }
    }
    somebody_decodes_ = n_decoding > 0;
    n_prompts_ = static_cast<int32_t>(works_.size()) - n_decoding;
    in_slices_ = pays_slices(n_decoding);
    const int32_t n_prefill = in_slices_ ? n_sliced() : budget_.n_prefill(n_decoding, n_prompts_, copied_s_);
    int32_t n_to_score = max_scored_ - n_guessed;
    plan_step(works_, n_batch_, n_prefill, shares_);
    for (const auto & share : shares_) {
        const auto & slot = slots_[share.slot];
        const bool prefill = n_to_prefill(slot) > 0;
        int32_t n_tokens = share.n_tokens;
        if (prefill && !slot.checkpoints.empty()) {
            n_tokens = std::min(n_tokens, slot.checkpoints.front().n - n_computed(slot));
        }
        if (prefill && slot.scores_prompt()) {
            n_tokens = std::min(n_tokens, n_to_score);
            n_to_score -= n_tokens;
        }
        if (n_tokens > 0) {
            items_.push_back({ share.slot, n_tokens, prefill, -1, -1 });
        }
    }
}

// Whether prompts are computed in slices, between which those who decode go on: what two longer steps have room for is
// computed in those.
bool Decoder::pays_slices(int32_t n_decoding) const {
    if (!sliced_ || n_decoding == 0 || budget_.gap_s(n_decoding, n_prompts_) <= 0 || budget_.prefill_token_s() <= 0) {
        return false;
    }
    int32_t n_left = 0;
    for (const auto & slot : slots_) {
        if (!slot.sequence || n_to_prefill(slot) == 0) {
            continue;
        }
        // Another choice of the request may decode meanwhile, and rows that are scored are many.
        if (slot.sequence->request->spec.n_outputs() > 1 || slot.scores_prompt()) {
            return false;
        }
        n_left += n_to_prefill(slot);
    }
    return n_left * budget_.prefill_token_s() > 2 * budget_.spare_s(n_decoding, n_prompts_);
}

// Of a graph in slices.
int32_t Decoder::n_sliced() const {
    const int32_t n = static_cast<int32_t>(k_graph_s / budget_.prefill_token_s()) / k_rows * k_rows; // rows come in blocks
    return std::min(std::max(n, k_rows), sliced_->n_tokens());
}

// In graphs of equal rows, where each sequence has cells of its own: those who decode, then the prompts by how much of them
// is computed. Upstream cuts a batch in as many, but by taking as much of every sequence as the shortest has: then those who
// decode look as far back as the longest prompt reaches, and what the longer ones have left is spread over small graphs.
void Decoder::compute_apart() {
    if (!is_partitioned_) {
        return compute(items_, steps_);
    }
    const auto kind = [](const Item & item) { return item.prefill ? item.n_tokens : 0; };
    std::sort(items_.begin(), items_.end(), [&](const Item & a, const Item & b) {
        return std::make_pair(kind(a), a.slot) < std::make_pair(kind(b), b.slot);
    });
    for (auto part = items_.begin(); part != items_.end();) {
        const auto end = std::find_if(part, items_.end(), [&](const Item & item) { return kind(item) != kind(*part); });
        part_.clear();
        // A choice's fault takes the whole request, and whoever lost his slot has nothing to compute.
        std::copy_if(part, end, std::back_inserter(part_), [&](const Item & item) { return slots_[item.slot].sequence != nullptr; });
        part = end;
        if (!part_.empty()) {
            compute(part_, in_slices_ && part_.front().prefill ? *prompts_ : steps_);
            channel_.wake(); // what was said is told meanwhile
        }
    }
}

// Between two slices of a graph of prompts: a step of those who decode.
void Decoder::compute_between() {
    drop_unwanted();
    guess();
    between_.clear();
    for (const int32_t slot : decoding_) {
        const auto & guesser = slots_[slot].sequence->guesser;
        between_.push_back({ slot, 1 + (guesser ? guesser->n_tried() : 0), false, -1, -1 });
    }
    if (!between_.empty()) {
        compute(between_, steps_);
        channel_.wake();
    }
}

void Decoder::compute(std::vector<Item> & items, Lane & lane) {
    int32_t result = decode(items, lane);
    if (result == 1 && leave_out_guesses(items)) {
        result = decode(items, lane); // nobody loses a slot for a guess
    }
    while (result == 1 && free_cells()) {
        items.erase(std::remove_if(items.begin(), items.end(),
                                   [&](const Item & item) { return !slots_[item.slot].sequence; }),
                    items.end());
        result = decode(items, lane);
    }
    if (result == 0) {
        const double start = now_s();
        for (const auto & item : items) {
            if (item.prefill && slots_[item.slot].sequence && slots_[item.slot].scores_prompt()) {
                score(item);
            }
        }
        for (const auto & item : items) {
            auto & slot = slots_[item.slot];
            if (!slot.sequence) {
                continue; // its scores were no numbers
            }
            if (item.prefill) {
                memory_.append(item.slot, slot.sequence->target().data() + n_computed(slot), item.n_tokens);
                pass_checkpoint(slot);
            } else {
                memory_.append(item.slot, &slot.sequence->last, 1);
            }
        }
        choose_ahead(items, lane);
        for (const auto & item : items) {
            // Another choice's fault may have taken the whole request, this one too.
            const int32_t n_right = item.output >= 0 && slots_[item.slot].sequence ? sample(item, lane) : 0;
            if (guessing_model_ && !item.prefill) {
                guessing_model_->note(item.slot, n_right);
            }
            if (item.n_guessed() > 0) {
                settle(item, n_right);
            }
        }
        stats_.sample_s.store(stats_.sample_s.load(std::memory_order_relaxed) + now_s() - start,
                              std::memory_order_relaxed);
        return;
    }
    restore(items);
    if (result == 2) {
        return; // aborted: nobody in the batch is wanted any more; the next turn drops them
    }
    if (leave_out_guesses(items)) {
        return compute(items, steps_);
    }
    if (items.size() == 1) {
        auto & slot = slots_[items[0].slot];
        if (!slot.sequence) {
            return; // with its state it has lost its request
        }
        const auto request = slot.sequence->request;
        drop(request, LA_ERR_INTERNAL, "llama_decode failed with " + std::to_string(result));
        memory_.clear(items[0].slot);
        return;
    }
    // One of them is at fault: each is tried alone, and only the guilty fails.
    for (const auto & item : items) {
        if (slots_[item.slot].sequence) {
            std::vector<Item> alone{ item };
            compute(alone, steps_);
        }
    }
}

bool Decoder::leave_out_guesses(std::vector<Item> & items) {
    bool any = false;
    for (auto & item : items) {
        if (item.n_guessed() > 0) {
            item.n_tokens = 1;
            any = true;
            if (slots_[item.slot].sequence) {
                slots_[item.slot].sequence->guesser->cut(0);
            }
        }
    }
    items.erase(std::remove_if(items.begin(), items.end(), [&](const Item & item) { return !slots_[item.slot].sequence; }),
                items.end());
    return any && !items.empty();
}

void Decoder::pass_checkpoint(Slot & slot) {
    if (!slot.checkpoints.empty() && slot.checkpoints.front().n == n_computed(slot)) {
        const bool keep = slot.checkpoints.front().keep;
        slot.checkpoints.erase(slot.checkpoints.begin());
        if (keep) {
            memory_.keep(index(slot));
        }
    }
}

// Returns llama_decode's result; an exception counts as -3.
int32_t Decoder::decode(std::vector<Item> & items, Lane & lane) {
    llama_batch & batch = lane.batch;
    batch.n_tokens = 0;
    lane.requests.clear();
    rows_.clear();
    int32_t n_decoding = 0;
    int32_t n_guessed = 0;
    int32_t n_prefilled = 0;
    bool scored = false;
    for (auto & item : items) {
        const auto & slot = slots_[item.slot];
        const auto & target = slot.sequence->target();
        const int32_t n_before = n_computed(slot);
        item.first = batch.n_tokens;
        item.output = -1;
        const bool scores = item.prefill && slot.scores_prompt();
        scored = scored || scores;
        for (int32_t i = 0; i < item.n_tokens; ++i) {
            const int32_t row = batch.n_tokens++;
            batch.token[row] = item.prefill ? target[n_before + i]
                                : i == 0     ? slot.sequence->last
                                             : slot.sequence->guesser->guess()[static_cast<size_t>(i) - 1];
            batch.pos[row] = n_before + i;
            batch.n_seq_id[row] = 1;
            batch.seq_id[row][0] = item.slot;
            const bool last = !item.prefill || n_before + i + 1 == static_cast<int32_t>(target.size());
            batch.logits[row] = last || scores;
            if (last && item.output < 0) {
                item.output = row;
            }
        }
        if (!item.prefill) {
            rows_.push_back({ item.slot, item.n_tokens });
        }
        n_decoding += !item.prefill;
        n_guessed += item.n_guessed();
        n_prefilled += item.prefill ? item.n_tokens : 0;
        lane.requests.push_back(slot.sequence->request.get());
    }
    std::sort(lane.requests.begin(), lane.requests.end());
    lane.requests.erase(std::unique(lane.requests.begin(), lane.requests.end()), lane.requests.end());

    const bool is_sliced = &lane != &steps_;
    requests_.enter_batch(lane.requests, lane.watch);
    const auto [result, seconds] = timed_step(lane.ctx, turns_, lane.aborted, [&](StepTurn & turn) {
        return is_sliced ? decode_sliced(turn, n_prefilled) : llama_decode(lane.ctx, batch);
    });
    requests_.leave_batch(lane.requests);
    if (is_sliced) {
        sliced_->rethrow();
    } else if (n_decoding > 0) {
        stepped_at_ = now_s();
    }
    ++n_steps_;
    stats_.n_steps.fetch_add(1, std::memory_order_relaxed);
    stats_.decode_s.store(stats_.decode_s.load(std::memory_order_relaxed) + seconds, std::memory_order_relaxed);
    if (result == 0) {
        stats_.n_prefilled.fetch_add(n_prefilled, std::memory_order_relaxed);
        if (!scored) { // a prompt whose every token has logits costs more than others do
            // A step behind a slice finds nothing of its own in the caches: it tells nothing of those that follow each other.
            if (n_prefilled == 0 && behind_slice_) {
                budget_.note_step_behind_slice(n_decoding + n_guessed, seconds);
            } else if (!is_sliced || n_prefilled >= k_rows) { // the rest of a prompt costs a graph more than its tokens
                budget_.note_step(n_decoding + n_guessed, n_prefilled, seconds, somebody_decodes_ && !is_sliced);
            }
        }
        if (guessing_model_ && std::any_of(items.begin(), items.end(), [&](const Item & item) {
                const auto & guesser = slots_[item.slot].sequence->guesser;
                return guesser && guesser->has_model();
            })) {
            guessing_model_->follow(batch);
        }
        if (n_prefilled == 0 && !behind_slice_) {
            pace_.note_step(rows_, seconds);
        }
    }
    behind_slice_ = is_sliced;
    return result;
}

// llama_decode for the prompts' lane.
int32_t Decoder::decode_sliced(StepTurn & turn, int32_t n_tokens) {
    const double slice_s = budget_.slice_s(std::max(count_decoding(), 1), n_prompts_);
    const double part_s = slice_s / k_slice_parts;
    // What of the slice is over: those who decode wait for what comes behind their step too. Not for others' turns: a slice that
    // these fill would never go on.
    double spent_s = std::min(now_s() - stepped_at_, slice_s) - turn.seconds();
    return sliced_->decode(prompts_->batch, n_tokens * budget_.prefill_token_s(), part_s, [&] {
        if (spent_s + turn.seconds() + part_s / 2 < slice_s || count_decoding() == 0) {
            return;
        }
        behind_slice_ = true;
        turn.pause([&] {
            compute_between();
            spent_s = now_s() - stepped_at_;
        });
        spent_s -= turn.seconds();
    });
}

// After a failed decode some of the batch may be in the cache, some not: back to what was computed before it.
void Decoder::restore(const std::vector<Item> & items) {
    for (const auto & item : items) {
        const auto & slot = slots_[item.slot];
        if (memory_.cut(item.slot, n_computed(slot))) {
            continue;
        }
        if (!slot.sequence) { // another choice of its request has lost its state, too
            memory_.clear(item.slot);
            continue;
        }
        const auto request = slot.sequence->request;
        if (!request->cancelled.load(std::memory_order_relaxed)) {
            drop(request, closing_ ? LA_ERR_CLOSED : LA_ERR_INTERNAL, "the sequence's state was lost by a failed step");
        }
        memory_.clear(item.slot);
    }
}

} // namespace la

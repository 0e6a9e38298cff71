#include "engine/decoder.h"

#include "base/asserts.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/compute_gate.h"
#include "engine/timed_step.h"

#include <algorithm>
#include <iterator>

namespace la {

// Waiting sequences looked at per step and free slot: a queue of a thousand must not cost every step a thousand prefix
// comparisons.
static constexpr size_t k_max_looked_at = 64;

// How many tokens a state can step back.
static int32_t max_guessed(const Model & model, llama_context * ctx) {
    return model.is_recurrent() ? static_cast<int32_t>(llama_n_rs_seq(ctx)) : SpeculationSpec::k_most;
}

Decoder::Decoder(std::shared_ptr<const Model> model, const EngineConfig & config, Context context,
                 std::unique_ptr<GuessingModel> guessing_model, Requests & requests, Channel & channel,
                 const std::atomic<bool> & closing, DecoderStats & stats)
    : model_(std::move(model)),
      context_(std::move(context)),
      requests_(requests),
      channel_(channel),
      closing_(closing),
      n_batch_(config.raw.n_batch),
      max_scored_(max_scored(*model_)),
      is_partitioned_(config.raw.kv_unified == 0),
      memory_(*model_, config, context_.llama.get()),
      slots_(config.raw.n_parallel),
      budget_(config.raw.n_ubatch),
      guessing_model_(std::move(guessing_model)),
      pace_(config.raw.n_parallel, config.raw.kv_unified == 0),
      shared_ngrams_(config.speculation.ngram_size_n),
      max_guessed_(max_guessed(*model_, context_.llama.get())),
      team_(context_.threads),
      batch_(llama_batch_init(config.raw.n_batch, 0, 1)),
      stats_(stats) {}

Decoder::~Decoder() {
    llama_batch_free(batch_);
}

// Installs the abort callback last: without a request it would stop the warm-up itself.
void Decoder::warm_up() {
    llama_token token = std::max(0, llama_vocab_bos(model_->vocab()));
    {
        const ComputeGate::Turn turn(this);
        // First on this thread alone: what a malformed model trips is then an exception.
        const AssertsThrow asserts_throw;
        llama_set_n_threads(context_.llama.get(), 1, 1);
        if (llama_decode(context_.llama.get(), llama_batch_get_one(&token, 1)) != 0) {
            throw Error(LA_ERR_LOAD, "cannot load model '" + model_->path() + "': it cannot compute a single token");
        }
        llama_set_n_threads(context_.llama.get(), context_.threads.n_decode, context_.threads.n_batch);
    }
    llama_memory_clear(llama_get_memory(context_.llama.get()), true);
    llama_set_abort_callback(
        context_.llama.get(),
        [](void * self) {
            const auto * decoder = static_cast<const Decoder *>(self);
            const bool abort = decoder->closing_.load(std::memory_order_relaxed) || !decoder->watch_.is_wanted();
            if (abort) {
                decoder->aborted_.store(true, std::memory_order_relaxed);
            }
            return abort;
        },
        this);
}

void Decoder::add(std::vector<SequencePtr> sequences) {
    for (auto & sequence : sequences) {
        waiting_.add(std::move(sequence));
    }
}

bool Decoder::step() {
    drop_unwanted();
    admit();
    auto items = plan();
    const bool has_work = !items.empty();
    if (has_work) {
        compute_apart(std::move(items));
    }
    stats_.stored_bytes.store(memory_.stored_bytes(), std::memory_order_relaxed);
    channel_.wake();
    return has_work;
}

// -- who gets a slot --------------------------------------------------------------------------------------------------

void Decoder::drop_unwanted() {
    const double now = now_s();
    std::vector<std::pair<RequestPtr, la_status>> unwanted;
    const auto look = [&](const RequestPtr & request) {
        if (request->cancelled.load(std::memory_order_relaxed)) {
            unwanted.emplace_back(request, LA_ERR_CANCELLED);
        } else if (request->expired(now)) {
            unwanted.emplace_back(request, LA_ERR_TIMEOUT);
        }
    };
    for (const auto & slot : slots_) {
        if (slot.sequence) {
            look(slot.sequence->request);
        }
    }
    for (size_t i = 0; i < waiting_.size(); ++i) {
        look(waiting_.at(i).request);
    }
    for (const auto & [request, status] : unwanted) {
        drop(request, status, status == LA_ERR_TIMEOUT ? "the request timed out" : "cancelled");
    }
}

void Decoder::drop(const RequestPtr & request, la_status status, const std::string & error) {
    for (auto & slot : slots_) {
        if (slot.sequence && slot.sequence->request == request) {
            release(slot);
        }
    }
    waiting_.remove(request);
    requests_.end(request, status, error);
}

PrefixRules Decoder::prefix_rules(bool use_cache) const {
    PrefixRules rules;
    rules.can_reuse = use_cache;
    rules.can_cut = memory_.can_cut();
    rules.can_keep = memory_.can_keep();
    if (memory_.copies_for_nothing()) {
        rules.copy_tokens = 1;
    } else if (budget_.prefill_token_s() > 0) {
        rules.copy_tokens = 8;
        rules.copy_share = memory_.copy_token_s() / budget_.prefill_token_s();
    }
    return rules;
}

std::vector<SlotView> Decoder::slot_views() const {
    std::vector<SlotView> views;
    views.reserve(slots_.size());
    for (const auto & slot : slots_) {
        const int32_t i = index(slot);
        const bool prefilling = slot.sequence && n_to_prefill(slot) > 0 && slot.sequence->request->spec.use_cache;
        views.push_back({ &memory_.computed(i), prefilling ? &slot.sequence->target() : nullptr, !slot.sequence,
                          slot.last_used, memory_.first_cut(i) });
    }
    return views;
}

int32_t Decoder::count_decoding() const {
    return static_cast<int32_t>(std::count_if(slots_.begin(), slots_.end(), [this](const Slot & slot) {
        return slot.sequence && n_to_prefill(slot) == 0;
    }));
}

void Decoder::admit() {
    const double spare_s = n_running() > 0 ? budget_.spare_s(count_decoding()) : 0; // 0: nobody waits, or it is not known
    copied_s_ = 0;
    size_t n_looked_at = 0;
    std::vector<SlotView> slots; // as they are, until somebody gets one
    std::vector<StoredView> stored;
    for (size_t i = 0; i < waiting_.size() && n_looked_at < k_max_looked_at; ++n_looked_at) {
        if (n_running() == static_cast<int32_t>(slots_.size())) {
            if (n_looked_at > 0 || !make_room_for(waiting_.at(0))) {
                return;
            }
        } else if (n_looked_at == 0) {
            waiting_.favour_oldest();
        }
        const Sequence & next = waiting_.at(i);
        const auto & request = *next.request;
        if (request.spec.prompt_logprobs && !request.scored && !next.scores_prompt()) {
            ++i; // the first choice's prompt comes before all that the others say
            continue;
        }
        if (next.preempted && !has_cells_for(next)) {
            ++i;
            continue;
        }
        const PrefixRules rules = prefix_rules(request.spec.use_cache && !next.scores_prompt());
        if (slots.empty()) {
            slots = slot_views();
            stored = memory_.stored();
        }
        const Placement placement = place(next.target(), slots, stored, rules);
        if (placement.slot < 0) {
            if (placement.checkpoint > 0) {
                add_checkpoint(slots_[placement.source], placement.checkpoint);
            }
            ++i; // waits for a prefill that it can copy
            continue;
        }
        const double copy_s = memory_.start_s(placement);
        if (spare_s > 0 && copied_s_ > 0 && copied_s_ + copy_s > spare_s) {
            return; // one prefix copied to many must not silence those who decode
        }
        copied_s_ += copy_s;
        occupy(placement, waiting_.take(i));
        slots.clear();
    }
}

void Decoder::occupy(const Placement & placement, SequencePtr sequence) {
    auto & slot = slots_[placement.slot];
    auto & request = *sequence->request;
    const int32_t n_cached = memory_.start(placement, sequence->target());
    // Of several choices the first tells: the others copy from it.
    if (!request.admitted) {
        request.n_cached = n_cached;
    }
    requests_.mark_admitted(request);
    slot.sequence = std::move(sequence);
    slot.last_used = n_steps_;
    slot.admitted = ++n_admitted_;
    slot.checkpoints.clear();
    if (request.spec.use_cache) {
        add_checkpoint(slot, placement.checkpoint);
        if (memory_.is_recurrent()) {
            // The next turn may render the answer otherwise than it was generated; other choices start from here too.
            add_checkpoint(slot, static_cast<int32_t>(slot.sequence->target().size()) - 1);
        }
    }
    stats_.n_cached.fetch_add(n_cached, std::memory_order_relaxed);
    stats_.n_running.fetch_add(1, std::memory_order_relaxed);
}

void Decoder::add_checkpoint(Slot & slot, int32_t n) {
    const bool keep = !memory_.can_cut();
    if (n <= n_computed(slot) || n < SlotMemory::k_worth_keeping) {
        return;
    }
    const auto place = std::lower_bound(slot.checkpoints.begin(), slot.checkpoints.end(), n,
                                        [](const Checkpoint & a, int32_t b) { return a.n < b; });
    // Who can take what he needs later, too, is not worth many small steps.
    const int32_t n_apart = keep ? 1 : SlotMemory::k_worth_keeping;
    if ((place != slot.checkpoints.end() && place->n - n < n_apart) ||
        (place != slot.checkpoints.begin() && n - std::prev(place)->n < n_apart)) {
        return;
    }
    slot.checkpoints.insert(place, { n, keep });
}

template <typename F> Decoder::Slot * Decoder::weakest(const F & may) {
    Slot * found = nullptr;
    const auto gives_way = [](const Slot & a, const Slot & b) {
        const int32_t of_a = a.sequence->request->spec.priority;
        const int32_t of_b = b.sequence->request->spec.priority;
        return of_a != of_b ? of_a < of_b : a.admitted > b.admitted;
    };
    for (auto & slot : slots_) {
        if (slot.sequence && may(*slot.sequence) && (!found || gives_way(slot, *found))) {
            found = &slot;
        }
    }
    return found;
}

// Takes a slot from somebody less important, but from nobody twice.
bool Decoder::make_room_for(const Sequence & sequence) {
    Slot * found = weakest([](const Sequence & running) { return !running.favoured && !running.preempted; });
    if (!found || found->sequence->request->spec.priority >= sequence.request->spec.priority) {
        return false;
    }
    preempt(*found);
    return true;
}

// It goes on later from where it was. Until the slot is needed its state stays there, then it goes to main memory.
void Decoder::preempt(Slot & slot) {
    SequencePtr sequence = std::move(slot.sequence);
    sequence->stop_at(memory_.computed(index(slot)));
    memory_.pause(index(slot));
    slot.last_used = n_steps_;
    if (!sequence->request->spec.use_cache) {
        memory_.clear(index(slot));
    }
    stats_.n_running.fetch_sub(1, std::memory_order_relaxed);
    stats_.n_preempted.fetch_add(1, std::memory_order_relaxed);
    waiting_.add(std::move(sequence));
}

// Whether the cells that all sequences share are enough for one that lost its own before.
bool Decoder::has_cells_for(const Sequence & sequence) const {
    size_t n_needed = sequence.target().size();
    for (const auto & slot : slots_) {
        if (slot.sequence) {
            n_needed += std::max(slot.sequence->target().size(), memory_.computed(index(slot)).size()) + 1;
        }
    }
    return n_running() == 0 || n_needed < static_cast<size_t>(context_.n_cells);
}

void Decoder::release(Slot & slot) {
    const bool keep = slot.sequence->request->spec.use_cache;
    slot.sequence.reset();
    slot.ahead.reset();
    slot.last_used = n_steps_;
    if (!keep) {
        memory_.clear(index(slot));
    }
    stats_.n_running.fetch_sub(1, std::memory_order_relaxed);
}

// -- one step ---------------------------------------------------------------------------------------------------------

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

std::vector<Decoder::Item> Decoder::plan() {
    guess();
    std::vector<Work> works;
    int32_t n_decoding = 0;
    int32_t n_guessed = 0;
    for (const auto & slot : slots_) {
        if (slot.sequence) {
            works.push_back({ index(slot), n_to_prefill(slot), 0 });
            if (works.back().n_to_prefill == 0) {
                ++n_decoding;
                works.back().n_guessed = slot.sequence->guesser ? slot.sequence->guesser->n_tried() : 0;
                n_guessed += works.back().n_guessed;
            }
        }
    }
    somebody_decodes_ = n_decoding > 0;
    std::vector<Item> items;
    int32_t n_to_score = max_scored_ - n_guessed;
    for (const auto & share : plan_step(works, n_batch_, budget_.n_prefill(n_decoding, copied_s_))) {
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
            items.push_back({ share.slot, n_tokens, prefill, -1, -1 });
        }
    }
    return items;
}

// In graphs of equal rows, where each sequence has cells of its own: those who decode, then the prompts by how much of them
// is computed. Upstream cuts a batch in as many, but by taking as much of every sequence as the shortest has: then those who
// decode look as far back as the longest prompt reaches, and what the longer ones have left is spread over small graphs.
void Decoder::compute_apart(std::vector<Item> items) {
    if (!is_partitioned_) {
        return compute(std::move(items));
    }
    const auto kind = [](const Item & item) { return item.prefill ? item.n_tokens : 0; };
    std::stable_sort(items.begin(), items.end(), [&](const Item & a, const Item & b) { return kind(a) < kind(b); });
    for (auto part = items.begin(); part != items.end();) {
        const auto end = std::find_if(part, items.end(), [&](const Item & item) { return kind(item) != kind(*part); });
        std::vector<Item> equal;
        // A choice's fault takes the whole request, and whoever lost his slot has nothing to compute.
        std::copy_if(part, end, std::back_inserter(equal), [&](const Item & item) { return slots_[item.slot].sequence != nullptr; });
        part = end;
        if (!equal.empty()) {
            compute(std::move(equal));
            channel_.wake(); // what was said is told meanwhile
        }
    }
}

void Decoder::compute(std::vector<Item> items) {
    int32_t result = decode(items);
    if (result == 1 && leave_out_guesses(items)) {
        result = decode(items); // nobody loses a slot for a guess
    }
    while (result == 1 && free_cells()) {
        items.erase(std::remove_if(items.begin(), items.end(),
                                   [&](const Item & item) { return !slots_[item.slot].sequence; }),
                    items.end());
        result = decode(items);
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
        choose_ahead(items);
        for (const auto & item : items) {
            // Another choice's fault may have taken the whole request, this one too.
            const int32_t n_right = item.output >= 0 && slots_[item.slot].sequence ? sample(item) : 0;
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
        return compute(std::move(items));
    }
    if (items.size() == 1) {
        auto & slot = slots_[items[0].slot];
        const auto request = slot.sequence->request;
        drop(request, LA_ERR_INTERNAL, "llama_decode failed with " + std::to_string(result));
        memory_.clear(items[0].slot);
        return;
    }
    // One of them is at fault: each is tried alone, and only the guilty fails.
    for (const auto & item : items) {
        if (slots_[item.slot].sequence) {
            compute({ item });
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

// Slots that share one cache (unified, or with a sliding window) may fill it: with what idle ones keep, or because it is
// smaller than all that runs (n_kv).
bool Decoder::free_cells() {
    Slot * oldest = nullptr;
    for (auto & slot : slots_) {
        if (!slot.sequence && n_computed(slot) > 0 && (!oldest || slot.last_used < oldest->last_used)) {
            oldest = &slot;
        }
    }
    if (!oldest && n_running() > 1) {
        oldest = weakest([](const Sequence &) { return true; });
        preempt(*oldest);
    }
    if (oldest) {
        memory_.give_up(index(*oldest));
    }
    return oldest != nullptr;
}

// Returns llama_decode's result; an exception counts as -3.
int32_t Decoder::decode(std::vector<Item> & items) {
    batch_.n_tokens = 0;
    in_batch_.clear();
    rows_.clear();
    int32_t n_decoding = 0;
    int32_t n_guessed = 0;
    int32_t n_prefilled = 0;
    bool scored = false;
    for (auto & item : items) {
        const auto & slot = slots_[item.slot];
        const auto & target = slot.sequence->target();
        const int32_t n_before = n_computed(slot);
        item.first = batch_.n_tokens;
        item.output = -1;
        const bool scores = item.prefill && slot.scores_prompt();
        scored = scored || scores;
        for (int32_t i = 0; i < item.n_tokens; ++i) {
            const int32_t row = batch_.n_tokens++;
            batch_.token[row] = item.prefill ? target[n_before + i]
                                : i == 0     ? slot.sequence->last
                                             : slot.sequence->guesser->guess()[static_cast<size_t>(i) - 1];
            batch_.pos[row] = n_before + i;
            batch_.n_seq_id[row] = 1;
            batch_.seq_id[row][0] = item.slot;
            const bool last = !item.prefill || n_before + i + 1 == static_cast<int32_t>(target.size());
            batch_.logits[row] = last || scores;
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
        in_batch_.push_back(slot.sequence->request.get());
    }
    std::sort(in_batch_.begin(), in_batch_.end());
    in_batch_.erase(std::unique(in_batch_.begin(), in_batch_.end()), in_batch_.end());

    requests_.enter_batch(in_batch_, watch_);
    llama_context * ctx = context_.llama.get();
    const auto [result, seconds] = timed_step(ctx, this, aborted_, [&] { return llama_decode(ctx, batch_); });
    requests_.leave_batch(in_batch_);
    ++n_steps_;
    stats_.n_steps.fetch_add(1, std::memory_order_relaxed);
    stats_.decode_s.store(stats_.decode_s.load(std::memory_order_relaxed) + seconds, std::memory_order_relaxed);
    if (result == 0) {
        stats_.n_prefilled.fetch_add(n_prefilled, std::memory_order_relaxed);
        if (!scored) { // a prompt whose every token has logits costs more than others do
            budget_.note_step(n_decoding + n_guessed, n_prefilled, seconds, somebody_decodes_);
        }
        if (guessing_model_ && std::any_of(items.begin(), items.end(), [&](const Item & item) {
                const auto & guesser = slots_[item.slot].sequence->guesser;
                return guesser && guesser->has_model();
            })) {
            guessing_model_->follow(batch_);
        }
        if (n_prefilled == 0) {
            pace_.note_step(rows_, seconds);
        }
    }
    return result;
}

// After a failed decode some of the batch may be in the cache, some not: back to what was computed before it.
void Decoder::restore(const std::vector<Item> & items) {
    for (const auto & item : items) {
        const auto & slot = slots_[item.slot];
        if (memory_.cut(item.slot, n_computed(slot))) {
            continue;
        }
        const auto request = slot.sequence->request;
        if (!request->cancelled.load(std::memory_order_relaxed)) {
            drop(request, closing_ ? LA_ERR_CLOSED : LA_ERR_INTERNAL, "the sequence's state was lost by a failed step");
        }
        memory_.clear(item.slot);
    }
}

// -- one token --------------------------------------------------------------------------------------------------------

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
void Decoder::choose_ahead(const std::vector<Item> & items) {
    constexpr double k_worth_sharing_s = 50e-6;
    choosing_.clear();
    double all_s = 0;
    double longest_s = 0;
    for (const auto & item : items) {
        auto & slot = slots_[item.slot];
        if (item.output >= 0 && slot.sequence && slot.sequence->chooses_alone() && slot.sequence->request->spec.max_tokens != 0) {
            choosing_.emplace_back(&slot, llama_get_logits_ith(context_.llama.get(), item.output));
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
int32_t Decoder::sample(const Item & item) {
    auto & slot = slots_[item.slot];
    for (int32_t i = 0;; ++i) {
        const llama_token token = sample_next(slot, item.output + i, i);
        if (i == item.n_guessed() || token != batch_.token[item.first + i + 1]) {
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
llama_token Decoder::sample_next(Slot & slot, int32_t row_index, int32_t i) {
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
        const Choice choice = slot.ahead ? *slot.ahead : choose(sequence, llama_get_logits_ith(context_.llama.get(), row_index));
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

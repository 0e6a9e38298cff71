#include "engine/decoder.h"

#include "base/asserts.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/compute_gate.h"

#include <algorithm>
#include <optional>

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
      steps_(context_.llama.get(), config.raw.n_batch),
      stats_(stats) {
    if (SlicedContext::is_possible(*model_, config, context_)) {
        sliced_ = std::make_unique<SlicedContext>(*model_, config, context_);
        prompts_.emplace(sliced_->llama(), sliced_->n_tokens());
    }
}

Decoder::~Decoder() = default;

// Installs the abort callback last: without a request it would stop the warm-up itself.
void Decoder::warm_up(bool checked) {
    llama_token token = std::max(0, llama_vocab_bos(model_->vocab()));
    {
        const ComputeGate::Turn turn(turns_);
        // First on this thread alone: what a malformed model trips is then an exception.
        std::optional<AssertsThrow> asserts_throw;
        if (!checked) {
            asserts_throw.emplace();
            llama_set_n_threads(context_.llama.get(), 1, 1);
        }
        if (llama_decode(context_.llama.get(), llama_batch_get_one(&token, 1)) != 0) {
            throw Error(LA_ERR_LOAD, "cannot load model '" + model_->path() + "': it cannot compute a single token");
        }
        llama_set_n_threads(context_.llama.get(), context_.threads.n_decode, context_.threads.n_batch);
    }
    if (sliced_) {
        llama_set_abort_callback(
            sliced_->llama(),
            [](void * self) {
                auto * decoder = static_cast<Decoder *>(self);
                return decoder->is_aborted(*decoder->prompts_);
            },
            this);
    }
    llama_memory_clear(llama_get_memory(context_.llama.get()), true);
    llama_set_abort_callback(
        context_.llama.get(),
        [](void * self) {
            auto * decoder = static_cast<Decoder *>(self);
            return decoder->is_aborted(decoder->steps_);
        },
        this);
}

bool Decoder::is_aborted(Lane & lane) const {
    const bool has_failed = &lane != &steps_ && sliced_->has_failed();
    const bool abort = closing_.load(std::memory_order_relaxed) || !lane.watch.is_wanted() || has_failed;
    if (abort) {
        lane.aborted.store(true, std::memory_order_relaxed);
    }
    return abort;
}

void Decoder::add(std::vector<SequencePtr> & sequences) {
    for (auto & sequence : sequences) {
        waiting_.add(std::move(sequence));
    }
    sequences.clear();
}

bool Decoder::step() {
    drop_unwanted();
    admit();
    plan();
    const bool has_work = !items_.empty();
    if (has_work) {
        compute_apart();
    }
    stats_.stored_bytes.store(memory_.stored_bytes(), std::memory_order_relaxed);
    channel_.wake();
    return has_work;
}

void Decoder::give_up_all(la_status status, const std::string & error) {
    memory_.forget_kept(); // first: memory may be what is missing
    for (auto & slot : slots_) {
        if (slot.sequence) {
            drop(RequestPtr(slot.sequence->request), status, error);
        }
        memory_.clear(index(slot));
    }
    while (!waiting_.empty()) {
        drop(RequestPtr(waiting_.at(0).request), status, error);
    }
}

// -- who gets a slot --------------------------------------------------------------------------------------------------

void Decoder::drop_unwanted() {
    const double now = now_s();
    std::vector<std::pair<RequestPtr, la_status>> unwanted;
    const auto look = [&](const RequestPtr & request) {
        if (is_under_way(*request)) {
            return; // the next turn drops it
        }
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
    rules.neighbours = is_partitioned_ && rules.can_keep; // whoever has to leave a slot for it is kept
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
    const int32_t n_decoding = count_decoding();
    const double spare_s = budget_.spare_s(n_decoding, n_running() - n_decoding); // 0: nobody waits, or it is not known
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
    slot.sequence = std::move(sequence); // before anything that may throw
    stats_.n_running.fetch_add(1, std::memory_order_relaxed);
    const int32_t n_cached = memory_.start(placement, slot.sequence->target());
    // Of several choices the first tells: the others copy from it.
    if (!request.admitted) {
        request.n_cached = n_cached;
    }
    requests_.mark_admitted(request);
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
        if (slot.sequence && !is_under_way(*slot.sequence->request) && may(*slot.sequence) && (!found || gives_way(slot, *found))) {
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
    slot.sequence->stop_at(memory_.computed(index(slot)));
    memory_.pause(index(slot));
    slot.last_used = n_steps_;
    if (!slot.sequence->request->spec.use_cache) {
        memory_.clear(index(slot));
    }
    waiting_.add(std::move(slot.sequence));
    stats_.n_running.fetch_sub(1, std::memory_order_relaxed);
    stats_.n_preempted.fetch_add(1, std::memory_order_relaxed);
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
        if (oldest) {
            preempt(*oldest);
        }
    }
    if (oldest) {
        memory_.give_up(index(*oldest));
    }
    return oldest != nullptr;
}

} // namespace la

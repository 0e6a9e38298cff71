#include "engine/decoder.h"

#include "base/asserts.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/compute_gate.h"
#include "engine/timed_step.h"

#include <algorithm>

namespace la {

// Waiting sequences looked at per step and free slot: a queue of a thousand must not cost every step a thousand prefix
// comparisons.
static constexpr size_t k_max_looked_at = 64;

Decoder::Decoder(std::shared_ptr<const Model> model, const EngineConfig & config, Context context, Requests & requests,
                 Channel & channel, const std::atomic<bool> & closing, DecoderStats & stats)
    : model_(std::move(model)),
      context_(std::move(context)),
      requests_(requests),
      channel_(channel),
      closing_(closing),
      unified_(config.raw.kv_unified != 0),
      swa_cut_(model_->n_swa() > 0 && (unified_ || config.raw.swa_full == 0)),
      n_batch_(config.raw.n_batch),
      max_scored_(max_scored(*model_)),
      slots_(config.raw.n_parallel),
      budget_(config.raw.n_ubatch),
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
    llama_memory_clear(memory(), true);
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
        const int32_t priority = sequence->request->spec.priority;
        const auto behind =
            std::find_if(pending_.rbegin(), pending_.rend(), [priority](const SequencePtr & other) {
                return other->request->spec.priority >= priority;
            }).base();
        pending_.insert(behind, std::move(sequence));
    }
}

bool Decoder::step() {
    drop_unwanted();
    admit();
    const auto items = plan();
    if (!items.empty()) {
        compute(items);
    }
    channel_.wake();
    return !items.empty();
}

// -- who gets a slot --------------------------------------------------------------------------------------------------

void Decoder::drop_unwanted() {
    const double now = now_s();
    std::vector<std::pair<RequestPtr, la_status>> unwanted;
    const auto look = [&](const SequencePtr & sequence) {
        if (!sequence) {
            return;
        }
        const auto & request = sequence->request;
        if (request->cancelled.load(std::memory_order_relaxed)) {
            unwanted.emplace_back(request, LA_ERR_CANCELLED);
        } else if (request->expired(now)) {
            unwanted.emplace_back(request, LA_ERR_TIMEOUT);
        }
    };
    for (const auto & slot : slots_) {
        look(slot.sequence);
    }
    for (const auto & sequence : pending_) {
        look(sequence);
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
    pending_.erase(std::remove_if(pending_.begin(), pending_.end(),
                                  [&](const SequencePtr & sequence) { return sequence->request == request; }),
                   pending_.end());
    requests_.end(request, status, error);
}

PrefixRules Decoder::prefix_rules(bool use_cache) const {
    PrefixRules rules;
    rules.can_reuse = use_cache;
    rules.can_truncate = !model_->is_recurrent();
    // What a sliding window or a recurrent state keeps of another's prefix is known only afterwards.
    rules.can_wait = rules.can_truncate && !swa_cut_;
    if (unified_) {
        rules.copy_tokens = 1; // metadata only
    } else if (budget_.prefill_token_s() > 0) {
        // Upstream copies the whole stream, used or not; about 3 GB/s on the machines measured.
        const double copy_s = double(model_->kv_token_bytes(GGML_TYPE_F16, GGML_TYPE_F16)) * context_.n_ctx / 3e9;
        rules.copy_tokens = std::max(8, static_cast<int32_t>(copy_s / budget_.prefill_token_s()));
    }
    return rules;
}

void Decoder::admit() {
    size_t n_looked_at = 0;
    for (auto it = pending_.begin(); it != pending_.end() && n_looked_at < k_max_looked_at; ++n_looked_at) {
        if (n_running() == static_cast<int32_t>(slots_.size())) {
            return;
        }
        const auto & prompt = (*it)->request->prompt;
        const bool scores = (*it)->scores_prompt();
        if ((*it)->request->spec.prompt_logprobs && !(*it)->request->scored && !scores) {
            ++it; // the first choice's prompt comes before all that the others say
            continue;
        }
        std::vector<SlotView> views;
        views.reserve(slots_.size());
        for (const auto & slot : slots_) {
            const bool prefilling = slot.sequence && slot.n_to_prefill() > 0;
            views.push_back({ &slot.computed, prefilling ? &slot.sequence->request->prompt : nullptr, !slot.sequence,
                              slot.last_used });
        }
        const Placement placement = place(prompt, views, prefix_rules((*it)->request->spec.use_cache && !scores));
        if (placement.slot < 0) {
            ++it; // waits for a prefill that it can copy
            continue;
        }
        SequencePtr sequence = std::move(*it);
        it = pending_.erase(it);
        auto & slot = slots_[placement.slot];
        auto & request = *sequence->request;
        const int32_t n_cached = start_from(placement, prompt);
        // Of several choices the first tells: the others copy from it.
        if (!request.admitted) {
            request.n_cached = n_cached;
        }
        requests_.mark_admitted(request);
        slot.sequence = std::move(sequence);
        slot.last_used = n_steps_;
        stats_.n_cached.fetch_add(n_cached, std::memory_order_relaxed);
        stats_.n_running.fetch_add(1, std::memory_order_relaxed);
    }
}

int32_t Decoder::start_from(const Placement & placement, const Tokens & prompt) {
    auto & slot = slots_[placement.slot];
    if (placement.source >= 0 && placement.source != placement.slot) {
        clear(slot);
        // Whole: upstream asserts on a part when streams differ.
        llama_memory_seq_cp(memory(), placement.source, placement.slot, -1, -1);
        slot.computed = slots_[placement.source].computed;
    }
    int32_t n = placement.n_reused;
    if (n == 0 || !cut(slot, n)) {
        n = 0;
        clear(slot);
    }
    slot.computed.assign(prompt.begin(), prompt.begin() + n);
    return n;
}

bool Decoder::cut(const Slot & slot, int32_t n) {
    if (!llama_memory_seq_rm(memory(), index(slot), n, -1)) {
        return false; // a recurrent state cannot step back
    }
    if (swa_cut_ && n > 0) {
        // seq_rm says yes although the window before n may be gone.
        const llama_pos first = llama_memory_seq_pos_min(memory(), index(slot));
        return first >= 0 && first <= std::max(0, n - model_->n_swa());
    }
    return true;
}

void Decoder::clear(Slot & slot) {
    llama_memory_seq_rm(memory(), index(slot), -1, -1);
    slot.computed.clear();
}

void Decoder::release(Slot & slot) {
    const bool keep = slot.sequence->request->spec.use_cache;
    slot.sequence.reset();
    slot.last_used = n_steps_;
    if (!keep) {
        clear(slot);
    }
    stats_.n_running.fetch_sub(1, std::memory_order_relaxed);
}

// -- one step ---------------------------------------------------------------------------------------------------------

std::vector<Decoder::Item> Decoder::plan() const {
    std::vector<Work> works;
    int32_t n_decoding = 0;
    for (const auto & slot : slots_) {
        if (slot.sequence) {
            works.push_back({ index(slot), slot.n_to_prefill() });
            n_decoding += works.back().n_to_prefill == 0;
        }
    }
    std::vector<Item> items;
    int32_t n_to_score = max_scored_;
    for (const auto & share : plan_step(works, n_batch_, budget_.n_prefill(n_decoding))) {
        const auto & slot = slots_[share.slot];
        const bool prefill = slot.n_to_prefill() > 0;
        int32_t n_tokens = share.n_tokens;
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

void Decoder::compute(std::vector<Item> items) {
    int32_t result = decode(items);
    while (result == 1 && forget_oldest_prefix()) {
        result = decode(items); // the cache was full of prefixes that nobody uses now
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
            const auto & prompt = slot.sequence->request->prompt;
            if (item.prefill) {
                const auto from = prompt.begin() + static_cast<std::ptrdiff_t>(slot.computed.size());
                slot.computed.insert(slot.computed.end(), from, from + item.n_tokens);
            } else {
                slot.computed.push_back(slot.sequence->last);
            }
        }
        for (const auto & item : items) {
            // Another choice's fault may have taken the whole request, this one too.
            if (item.output >= 0 && slots_[item.slot].sequence) {
                sample(item);
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
    if (items.size() == 1) {
        auto & slot = slots_[items[0].slot];
        const auto request = slot.sequence->request;
        drop(request, LA_ERR_INTERNAL, "llama_decode failed with " + std::to_string(result));
        clear(slot);
        return;
    }
    // One of them is at fault: each is tried alone, and only the guilty fails.
    for (const auto & item : items) {
        if (slots_[item.slot].sequence) {
            compute({ item });
        }
    }
}

// Slots that share one cache (unified, or with a sliding window) may fill it with what idle ones keep.
bool Decoder::forget_oldest_prefix() {
    Slot * oldest = nullptr;
    for (auto & slot : slots_) {
        if (!slot.sequence && !slot.computed.empty() && (!oldest || slot.last_used < oldest->last_used)) {
            oldest = &slot;
        }
    }
    if (oldest) {
        clear(*oldest);
    }
    return oldest != nullptr;
}

// Returns llama_decode's result; an exception counts as -3.
int32_t Decoder::decode(std::vector<Item> & items) {
    batch_.n_tokens = 0;
    in_batch_.clear();
    int32_t n_decoded = 0;
    int32_t n_prefilled = 0;
    bool scored = false;
    for (auto & item : items) {
        const auto & slot = slots_[item.slot];
        const auto & prompt = slot.sequence->request->prompt;
        const auto n_computed = static_cast<int32_t>(slot.computed.size());
        item.first = batch_.n_tokens;
        item.output = -1;
        const bool scores = item.prefill && slot.scores_prompt();
        scored = scored || scores;
        for (int32_t i = 0; i < item.n_tokens; ++i) {
            const int32_t row = batch_.n_tokens++;
            batch_.token[row] = item.prefill ? prompt[n_computed + i] : slot.sequence->last;
            batch_.pos[row] = n_computed + i;
            batch_.n_seq_id[row] = 1;
            batch_.seq_id[row][0] = item.slot;
            const bool last = !item.prefill || n_computed + i + 1 == static_cast<int32_t>(prompt.size());
            batch_.logits[row] = last || scores;
            if (last) {
                item.output = row;
            }
        }
        (item.prefill ? n_prefilled : n_decoded) += item.n_tokens;
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
            budget_.note_step(n_decoded, n_prefilled, seconds);
        }
    }
    return result;
}

// After a failed decode some of the batch may be in the cache, some not: back to what `computed` says.
void Decoder::restore(const std::vector<Item> & items) {
    for (const auto & item : items) {
        auto & slot = slots_[item.slot];
        if (cut(slot, static_cast<int32_t>(slot.computed.size()))) {
            continue;
        }
        const auto request = slot.sequence->request;
        if (request->cancelled.load(std::memory_order_relaxed)) {
            clear(slot);
            continue;
        }
        drop(request, closing_ ? LA_ERR_CLOSED : LA_ERR_INTERNAL, "the sequence's state was lost by a failed step");
        clear(slot);
    }
}

// -- one token --------------------------------------------------------------------------------------------------------

// Of each token that the rows of a part of a prompt predict. Before `computed` is brought up to date.
void Decoder::score(const Item & item) {
    const auto & slot = slots_[item.slot];
    const RequestPtr request = slot.sequence->request;
    const auto & prompt = request->prompt;
    const int32_t n_top = std::max(0, request->spec.sampling.raw.top_logprobs);
    auto & entries = request->prompt_logprobs;
    try {
        if (slot.computed.empty()) {
            append_unscored(*model_, prompt[0], entries);
        }
        for (int32_t i = 0; i < item.n_tokens; ++i) {
            const size_t next = slot.computed.size() + static_cast<size_t>(i) + 1;
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

void Decoder::sample(const Item & item) {
    auto & slot = slots_[item.slot];
    auto & sequence = *slot.sequence;
    const RequestPtr request = sequence.request;
    if (request->spec.max_tokens == 0) {
        request->first_token_s = request->last_token_s = now_s();
        channel_.post_delta(request->mailbox, sequence.choice, {}, {}, 0, LA_FINISH_LENGTH);
        finish(slot);
        return;
    }
    try {
        const AssertsThrow asserts_throw;
        const float * row = llama_get_logits_ith(context_.llama.get(), item.output);
        const llama_token token = sequence.choose(context_.llama.get(), item.output);
        const auto step = sequence.add(*model_, token, row, context_.n_ctx);
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
    } catch (const Error & e) {
        drop(request, e.status, e.what());
    } catch (const std::exception & e) {
        // Upstream's samplers and grammars throw through C; the fault is this request's alone.
        drop(request, LA_ERR_INTERNAL, std::string("sampling failed: ") + e.what());
    }
}

void Decoder::finish(Slot & slot) {
    const RequestPtr request = slot.sequence->request;
    release(slot);
    if (--request->n_running == 0) {
        requests_.end(request, LA_OK);
    }
}

} // namespace la

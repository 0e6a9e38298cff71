#include "speculative/draft_model.h"

#include "base/error.h"
#include "engine/timed_step.h"
#include "prefix/prefix.h"
#include "sampling/rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace la {

namespace {

// As far as upstream's common_speculative_are_compatible lets two vocabularies differ: padding at the end, and the first few
// control tokens.
constexpr int32_t k_max_difference = 128;
constexpr llama_token k_first_compared = 5;

void check_vocabulary(const Model & target, const Model & draft) {
    const auto refuse = [&](const std::string & why) {
        throw Error(LA_ERR_LOAD, "draft_model '" + draft.path() + "' has another vocabulary than the model: " + why,
                    "draft_model");
    };
    if (llama_vocab_type(target.vocab()) != llama_vocab_type(draft.vocab())) {
        refuse("it is of another kind");
    }
    if (std::abs(target.n_vocab() - draft.n_vocab()) > k_max_difference) {
        refuse(std::to_string(draft.n_vocab()) + " tokens, not " + std::to_string(target.n_vocab()));
    }
    const llama_token n = std::min(target.n_vocab(), draft.n_vocab());
    for (llama_token token = k_first_compared; token < n; ++token) {
        if (std::strcmp(llama_vocab_get_text(target.vocab(), token), llama_vocab_get_text(draft.vocab(), token)) != 0) {
            refuse("token " + std::to_string(token) + " is another");
        }
    }
}

double probability(const float * row, llama_token token, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; ++i) {
        sum += std::exp(row[i] - row[token]);
    }
    return 1 / sum;
}

} // namespace

EngineConfig DraftModel::config_of(const EngineConfig & config) {
    EngineConfig own = config;
    own.model_path = config.draft_model_path;
    own.draft_model_path.clear();
    own.chat_template.clear();
    own.speculation = {};
    own.raw.kv_unified = 0; // nobody shares anything there, and nobody must run out of it
    own.raw.n_kv = 0;
    return own;
}

std::unique_ptr<DraftModel> DraftModel::load(const Model & target, const EngineConfig & config, int32_t n_ctx,
                                             Threads threads, const std::atomic<bool> & closing) {
    const EngineConfig own = config_of(config);
    auto model = Model::load(own, [&](float) { return !closing.load(); });
    check_vocabulary(target, *model);
    const int32_t n_slots = own.raw.n_parallel;
    auto context = make_context(*model, own, { n_ctx, n_slots, int64_t(n_ctx) * n_slots }, std::move(threads));
    if (!llama_get_memory(context.llama.get()) || llama_model_has_encoder(model->weights())) {
        throw Error(LA_ERR_LOAD, "draft_model '" + model->path() + "' cannot generate text", "draft_model");
    }
    const int32_t n_tokens = std::min(target.n_vocab(), model->n_vocab());
    return std::unique_ptr<DraftModel>(
        new DraftModel(std::move(model), std::move(context), n_slots, own.raw.n_batch, n_tokens, closing));
}

DraftModel::DraftModel(std::shared_ptr<const Model> model, Context context, int32_t n_slots, int32_t n_batch,
                       int32_t n_tokens, const std::atomic<bool> & closing)
    : model_(std::move(model)), context_(std::move(context)), n_batch_(n_batch), n_tokens_(n_tokens), closing_(closing),
      computed_(static_cast<size_t>(n_slots)), batch_(llama_batch_init(n_batch, 0, 1)) {
    llama_set_abort_callback(
        context_.llama.get(),
        [](void * self) {
            auto * draft = static_cast<DraftModel *>(self);
            const bool abort = draft->closing_.load(std::memory_order_relaxed);
            draft->aborted_.store(abort, std::memory_order_relaxed);
            return abort;
        },
        this);
}

DraftModel::~DraftModel() {
    llama_batch_free(batch_);
}

void DraftModel::guess(std::vector<Wish> & wishes) {
    std::vector<Draft> drafts;
    drafts.reserve(wishes.size());
    for (auto & wish : wishes) {
        drafts.push_back({ &wish, {}, 0, -1, wish.n <= 0 });
        catch_up(drafts.back());
    }
    const auto is_over = [](const Draft & draft) { return draft.over; };
    while (!std::all_of(drafts.begin(), drafts.end(), is_over)) {
        if (closing_.load(std::memory_order_relaxed) || !decode(drafts)) {
            return;
        }
    }
}

// Cuts off what the slot did not say, and finds out what is missing.
void DraftModel::catch_up(Draft & draft) {
    const Wish & wish = *draft.wish;
    Tokens & computed = computed_[wish.slot];
    size_t n_same = common_prefix(computed, *wish.said);
    if (n_same < computed.size()) {
        llama_memory_t memory = llama_get_memory(context_.llama.get());
        if (model_->is_recurrent() || !llama_memory_seq_rm(memory, wish.slot, static_cast<llama_pos>(n_same), -1)) {
            llama_memory_seq_rm(memory, wish.slot, -1, -1);
            n_same = 0;
        }
        computed.resize(n_same);
    }
    draft.pending.assign(wish.said->begin() + static_cast<std::ptrdiff_t>(n_same), wish.said->end());
    draft.pending.push_back(wish.last);
}

// One step of all that are not over; false if it failed.
bool DraftModel::decode(std::vector<Draft> & drafts) {
    batch_.n_tokens = 0;
    std::vector<size_t> n_in_step(drafts.size());
    for (size_t d = 0; d < drafts.size(); ++d) {
        Draft & draft = drafts[d];
        draft.row = -1;
        const auto n_left = draft.over ? 0 : draft.pending.size() - draft.n_done;
        n_in_step[d] = std::min(n_left, static_cast<size_t>(n_batch_ - batch_.n_tokens));
        const size_t n_before = computed_[draft.wish->slot].size();
        for (size_t i = 0; i < n_in_step[d]; ++i) {
            const int32_t row = batch_.n_tokens++;
            const bool last = i + 1 == n_left;
            batch_.token[row] = draft.pending[draft.n_done + i];
            batch_.pos[row] = static_cast<llama_pos>(n_before + i);
            batch_.n_seq_id[row] = 1;
            batch_.seq_id[row][0] = draft.wish->slot;
            batch_.logits[row] = last;
            draft.row = last ? row : draft.row;
        }
    }
    llama_context * ctx = context_.llama.get();
    const auto [result, seconds] = timed_step(ctx, turns_, aborted_, [&] { return llama_decode(ctx, batch_); });
    if (result != 0) {
        for (const auto & draft : drafts) {
            llama_memory_seq_rm(llama_get_memory(ctx), draft.wish->slot, -1, -1);
            computed_[draft.wish->slot].clear();
        }
        return false;
    }
    if (batch_.n_tokens <= static_cast<int32_t>(drafts.size())) { // nobody was catching up
        note_time(seconds, batch_.n_tokens);
    }
    for (size_t d = 0; d < drafts.size(); ++d) {
        Draft & draft = drafts[d];
        const auto first = draft.pending.begin() + static_cast<std::ptrdiff_t>(draft.n_done);
        Tokens & computed = computed_[draft.wish->slot];
        computed.insert(computed.end(), first, first + static_cast<std::ptrdiff_t>(n_in_step[d]));
        draft.n_done += n_in_step[d];
        if (draft.row >= 0) {
            choose(draft);
        }
    }
    return true;
}

// The likeliest token: whatever the request samples by, none is taken more often.
void DraftModel::choose(Draft & draft) {
    const Wish & wish = *draft.wish;
    const float * row = llama_get_logits_ith(context_.llama.get(), draft.row);
    const llama_token token = argmax(row, model_->n_vocab());
    draft.over = token < 0 || token >= n_tokens_ ||
                 (wish.p_min > 0 && probability(row, token, model_->n_vocab()) < double(wish.p_min));
    if (draft.over) {
        return;
    }
    wish.out->push_back(token);
    draft.over = static_cast<int32_t>(wish.out->size()) >= wish.n;
    draft.pending.assign(1, token);
    draft.n_done = 0;
}

} // namespace la

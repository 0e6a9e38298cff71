#include "engine/preparer.h"

#include "base/asserts.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread_name.h"
#include "base/stray.h"
#include "chat/render.h"
#include "embedding/inputs.h"
#include "tasks/text_task.h"

#include <algorithm>
#include <chrono>

namespace la {

// The marks that tell what is said, and what the thinking may cost. `grammar` is the user's own.
static void take_limits(const Model & model, const RenderedChat & rendered, const Grammar & grammar, Limits & limits) {
    const Thinking & thinking = rendered.constraint.thinking;
    limits.template_stops = rendered.stops;
    if (rendered.only_calls) {
        limits.stops.clear();
    }
    limits.phases = PhaseFinder(thinking.start, thinking.ends, rendered.call_marks);
    std::string_view begun = rendered.constraint.generation_prompt;
    while (!begun.empty()) {
        begun.remove_prefix(limits.phases.push(begun));
    }
    if (thinking.budget < 0 || !thinking.is_marked()) {
        return; // unbounded, or a template that knows no thinking
    }
    if (!grammar.empty()) {
        throw Error(LA_ERR_INVALID, "reasoning_budget_tokens and grammar are both given: the end of the thinking, which a "
                                    "budget forces, may be none that the grammar knows",
                    "reasoning_budget_tokens");
    }
    limits.n_thoughts = thinking.budget;
    limits.end_of_thinking = tokenize(model, thinking.ends.front(), false, true);
}

static void append_segment(const Model & model, const Segment & segment, int32_t n_ctx,
                           Request & request, Limits & limits, Constraint & constraint) {
    auto & prompt = request.prompt;
    switch (segment.kind) {
        case LA_SEGMENT_TOKENS: {
            const auto tokens = model.tokens_of(segment.bytes, "prompt");
            prompt.insert(prompt.end(), tokens.begin(), tokens.end());
            return;
        }
        case LA_SEGMENT_TEXT: {
            const size_t n_least = segment.bytes.size() / model.max_piece_bytes();
            if (n_least > static_cast<size_t>(n_ctx)) {
                throw Error(LA_ERR_CONTEXT_LENGTH,
                            "the prompt is " + std::to_string(segment.bytes.size()) + " bytes of text, at least " +
                                std::to_string(n_least) + " tokens; n_ctx is " + std::to_string(n_ctx),
                            "prompt");
            }
            const auto tokens = tokenize(model, segment.bytes, (segment.flags & LA_SEGMENT_ADD_SPECIAL) != 0,
                                         (segment.flags & LA_SEGMENT_PARSE_SPECIAL) != 0);
            prompt.insert(prompt.end(), tokens.begin(), tokens.end());
            return;
        }
        case LA_SEGMENT_CHAT: {
            auto rendered = render_chat(model, segment.bytes, n_ctx);
            prompt.insert(prompt.end(), rendered.tokens.begin(), rendered.tokens.end());
            take_limits(model, rendered, constraint.grammar, limits);
            if (!constraint.grammar.empty() && !rendered.constraint.grammar.empty()) {
                throw Error(LA_ERR_INVALID, "grammar and " + rendered.constraint.grammar.param +
                                                " are both given: an answer obeys one of them",
                            "grammar");
            }
            if (constraint.grammar.empty()) {
                constraint.grammar = std::move(rendered.constraint.grammar);
            }
            constraint.thinking = std::move(rendered.constraint.thinking);
            constraint.generation_prompt = std::move(rendered.constraint.generation_prompt);
            request.format = std::move(rendered.format);
            return;
        }
        case LA_SEGMENT_MEDIA:
            break; // refused by RequestSpec
    }
    throw Error(LA_ERR_UNSUPPORTED, "a segment of this kind is not supported");
}

static SharedGrammarPtr compile(GrammarCache & grammars, const Model & model, const Grammar & grammar) {
    try {
        return grammars.get(model.vocab(), grammar.text);
    } catch (const Error & e) {
        throw Error(e.status, (grammar.param == "grammar" ? "" : grammar.param + ": its ") + e.what(), grammar.param);
    }
}

static void check_wanted(const Request & request) {
    if (request.cancelled) {
        throw Error(LA_ERR_CANCELLED, "cancelled");
    }
    if (request.expired(now_s())) {
        throw Error(LA_ERR_TIMEOUT, "the request timed out while it was queued");
    }
}

static std::vector<SequencePtr> prepare(const Model & model, int32_t n_ctx, const EmbeddingTraits & embedding,
                                        GrammarCache & grammars, const RequestPtr & request) {
    const AssertsThrow asserts_throw;
    const RequestSpec & spec = request->spec;
    if (spec.task == LA_TASK_EMBED || spec.task == LA_TASK_RERANK) {
        prepare_inputs(model, embedding, *request);
        return {};
    }
    Limits limits;
    limits.stops = spec.stops;
    bool chat = false;
    Constraint constraint;
    constraint.grammar.text = spec.sampling.grammar;
    for (const auto & segment : spec.segments) {
        append_segment(model, segment, n_ctx, *request, limits, constraint);
        chat = chat || segment.kind == LA_SEGMENT_CHAT;
    }
    const char * param = chat ? "messages" : "prompt";
    const auto n_prompt = static_cast<int64_t>(request->prompt.size());
    if (n_prompt == 0) {
        throw Error(LA_ERR_INVALID, std::string(param) + " must not be empty", param);
    }
    const int64_t n_answer = spec.max_tokens >= 0 ? spec.max_tokens : 1;
    if (n_prompt + n_answer > n_ctx) {
        throw Error(LA_ERR_CONTEXT_LENGTH,
                    "this model's context is " + std::to_string(n_ctx) + " tokens (n_ctx), but " +
                        std::to_string(n_prompt + n_answer) + " were asked for (" + std::to_string(n_prompt) +
                        " in the " + param + ", " + std::to_string(n_answer) + " for the answer)",
                    param);
    }
    SharedGrammarPtr grammar;
    if (!constraint.grammar.empty()) {
        grammar = compile(grammars, model, constraint.grammar); // once for all choices
    }
    const bool guesses = spec.speculation.n_max > 0 && !spec.speculation.kinds.empty();
    const auto predicted = tokenize(model, spec.prediction, false, false);
    const bool has_model = spec.speculation.has(GuessKind::draft_simple) || spec.speculation.has(GuessKind::draft_mtp);
    std::vector<SequencePtr> sequences;
    for (int32_t choice = 0; choice < spec.n_choices; ++choice) {
        Sampler sampler(model, spec.sampling, constraint, grammar, choice, n_ctx);
        sampler.accept_prompt(request->prompt);
        sequences.push_back(std::make_unique<Sequence>(request, choice, std::move(sampler), limits));
        if (guesses || !predicted.empty()) {
            sequences.back()->guesser = std::make_unique<Guesser>(spec.speculation, predicted, has_model);
        }
    }
    request->n_running = spec.n_choices;
    return sequences;
}

Preparer::Preparer(Requests & requests, Channel & channel, std::shared_ptr<const Model> model, int32_t n_ctx,
                   EmbeddingTraits embedding, Deliver deliver)
    : requests_(requests), channel_(channel), deliver_(std::move(deliver)), shared_(std::make_shared<Shared>()) {
    shared_->model = std::move(model);
    shared_->n_ctx = n_ctx;
    shared_->embedding = embedding;
    start();
}

void Preparer::start() {
    thread_ = std::thread([this, shared = shared_, generation = shared_->generation] { run(shared, generation); });
}

Preparer::~Preparer() {
    {
        std::unique_lock<std::mutex> lock(shared_->mutex);
        shared_->closing = true;
        shared_->changed.notify_all();
        const auto idle = [this] { return !shared_->job && !shared_->delivering; };
        const auto patience = std::chrono::duration<double>(k_patience_s);
        if (!shared_->changed.wait_for(lock, patience, idle)) {
            shared_->changed.wait(lock, [this] { return !shared_->delivering; }); // short
        }
        if (shared_->job && !shared_->job->abandoned) {
            abandon(*shared_->job, LA_ERR_CLOSED, "the client was closed");
        }
        for (const auto & request : shared_->queue) {
            requests_.end(request, LA_ERR_CLOSED, "the client was closed");
        }
        shared_->queue.clear();
        if (shared_->job) {
            ++shared_->n_abandoned;
            StrayThreads::add();
            ++shared_->generation;
            thread_.detach();
        }
    }
    if (thread_.joinable()) {
        thread_.join();
    }
}

void Preparer::push(RequestPtr request) {
    {
        const std::lock_guard<std::mutex> lock(shared_->mutex);
        shared_->queue.push_back(std::move(request));
    }
    shared_->changed.notify_all();
}

bool Preparer::is_busy() const {
    const std::lock_guard<std::mutex> lock(shared_->mutex);
    return !shared_->queue.empty() || shared_->job || shared_->delivering;
}

void Preparer::abandon(Job & job, la_status status, const char * error) {
    job.abandoned = true;
    requests_.end_unprepared(job.request, status, error);
}

void Preparer::sweep() {
    const double now = now_s();
    const std::lock_guard<std::mutex> lock(shared_->mutex);
    auto & queue = shared_->queue;
    const auto unwanted = [&](const RequestPtr & request) {
        if (request->cancelled) {
            requests_.end(request, LA_ERR_CANCELLED, "cancelled");
        } else if (request->expired(now)) {
            requests_.end(request, LA_ERR_TIMEOUT, "the request timed out while it was queued");
        } else {
            return false;
        }
        return true;
    };
    queue.erase(std::remove_if(queue.begin(), queue.end(), unwanted), queue.end());
    if (!shared_->job) {
        return;
    }
    auto & job = *shared_->job;
    if (!job.abandoned) {
        if (job.request->cancelled) {
            abandon(job, LA_ERR_CANCELLED, "cancelled");
        } else if (job.request->expired(now)) {
            abandon(job, LA_ERR_TIMEOUT, "the request timed out while it was prepared");
        } else if (now - job.start_s > k_max_s) {
            abandon(job, LA_ERR_INVALID, "it takes longer than 30 s to prepare: the chat template, the grammar or the text");
        }
    }
    if (job.abandoned && now - job.start_s > k_patience_s && shared_->n_abandoned < k_max_abandoned) {
        ++shared_->n_abandoned;
        StrayThreads::add();
        ++shared_->generation;
        shared_->job.reset();
        thread_.detach();
        start();
    }
}

// A text task ends here: no other thread takes part in it.
void Preparer::answer(const RequestPtr & request, const std::vector<TextResult> & results) {
    if (request->cancelled) {
        requests_.end(request, LA_ERR_CANCELLED, "cancelled");
    } else {
        for (size_t i = 0; i < results.size(); ++i) {
            const auto & tokens = results[i].tokens;
            channel_.post_delta(request->mailbox, static_cast<int32_t>(i), results[i].text,
                                { reinterpret_cast<const char *>(tokens.data()), tokens.size() * sizeof(llama_token) },
                                results[i].n_tokens, LA_FINISH_STOP);
            request->n_input_tokens += results[i].n_tokens;
        }
        requests_.end(request, LA_OK);
    }
    channel_.wake();
}

// On a preparation thread. Between taking a job and `delivering` it may be abandoned at any moment: then neither `this`
// nor anything else of the engine may be touched again.
void Preparer::run(const std::shared_ptr<Shared> & shared, uint64_t generation) {
    name_this_thread("llama-prepare");
    for (;;) {
        const auto job = std::make_shared<Job>();
        {
            std::unique_lock<std::mutex> lock(shared->mutex);
            shared->changed.wait(lock, [&] { return shared->closing || !shared->queue.empty(); });
            if (shared->closing) {
                return;
            }
            job->request = std::move(shared->queue.front());
            shared->queue.pop_front();
            job->start_s = now_s();
            shared->job = job;
        }
        std::vector<SequencePtr> sequences;
        std::vector<TextResult> results;
        const bool text_task = is_text_task(job->request->spec.task);
        la_status status = LA_OK;
        std::string message;
        std::string param;
        try {
            check_wanted(*job->request);
            if (text_task) {
                results = run_text_task(*shared->model, *job->request);
            } else {
                sequences = prepare(*shared->model, shared->n_ctx, shared->embedding, shared->grammars, job->request);
            }
        } catch (const Error & e) {
            status = e.status;
            message = e.what();
            param = e.param;
        } catch (const std::exception & e) {
            status = LA_ERR_INTERNAL;
            message = e.what();
        }
        {
            const std::lock_guard<std::mutex> lock(shared->mutex);
            if (shared->generation != generation) {
                --shared->n_abandoned;
                StrayThreads::remove();
                return; // replaced
            }
            shared->job.reset();
            if (job->abandoned) {
                shared->changed.notify_all();
                continue;
            }
            shared->delivering = true;
        }
        if (status == LA_OK && text_task) {
            answer(job->request, results);
        } else if (status == LA_OK) {
            deliver_(job->request, std::move(sequences));
        } else {
            requests_.end(job->request, status, message, param);
            channel_.wake();
        }
        {
            const std::lock_guard<std::mutex> lock(shared->mutex);
            shared->delivering = false;
        }
        shared->changed.notify_all();
    }
}

} // namespace la

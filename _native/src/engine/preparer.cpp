#include "engine/preparer.h"

#include "base/asserts.h"
#include "base/error.h"
#include "chat/render.h"

#include <cstring>

namespace la {

Preparer::Preparer(Requests & requests, Channel & channel, std::shared_ptr<const Model> model, int32_t n_ctx,
                   Deliver deliver)
    : requests_(requests),
      channel_(channel),
      model_(std::move(model)),
      n_ctx_(n_ctx),
      deliver_(std::move(deliver)),
      thread_([this] { run(); }) {}

Preparer::~Preparer() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
    }
    changed_.notify_one();
    thread_.join();
    for (const auto & request : queue_) {
        requests_.end(request, LA_ERR_CLOSED, "the client was closed");
    }
}

void Preparer::push(RequestPtr request) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        queue_.push_back(std::move(request));
    }
    changed_.notify_one();
}

void Preparer::run() {
    for (;;) {
        RequestPtr request;
        {
            std::unique_lock<std::mutex> lock(mutex_);
            changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
            if (closing_) {
                return;
            }
            request = std::move(queue_.front());
            queue_.pop_front();
        }
        try {
            prepare(request);
            continue;
        } catch (const Error & e) {
            requests_.end(request, e.status, e.what(), e.param);
        } catch (const std::exception & e) {
            requests_.end(request, LA_ERR_INTERNAL, e.what());
        }
        channel_.wake();
    }
}

static void append_segment(const Model & model, const Segment & segment, int32_t n_ctx,
                           std::vector<llama_token> & prompt, std::vector<std::string> & stops) {
    switch (segment.kind) {
        case LA_SEGMENT_TOKENS: {
            std::vector<llama_token> tokens(segment.bytes.size() / sizeof(llama_token));
            std::memcpy(tokens.data(), segment.bytes.data(), tokens.size() * sizeof(llama_token));
            for (const llama_token token : tokens) {
                if (token < 0 || token >= model.n_vocab()) {
                    throw Error(LA_ERR_INVALID,
                                "prompt has token " + std::to_string(token) + ", the vocabulary has 0.." +
                                    std::to_string(model.n_vocab() - 1),
                                "prompt");
                }
            }
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
            stops.insert(stops.end(), rendered.stops.begin(), rendered.stops.end());
            return;
        }
        case LA_SEGMENT_MEDIA:
            break; // refused by RequestSpec
    }
    throw Error(LA_ERR_UNSUPPORTED, "a segment of this kind is not supported");
}

void Preparer::prepare(const RequestPtr & request) {
    const AssertsThrow asserts_throw;
    if (request->cancelled) {
        throw Error(LA_ERR_CANCELLED, "cancelled");
    }
    if (request->expired(now_s())) {
        throw Error(LA_ERR_TIMEOUT, "the request timed out while it was queued");
    }
    const RequestSpec & spec = request->spec;
    auto stops = spec.stops;
    bool chat = false;
    for (const auto & segment : spec.segments) {
        append_segment(*model_, segment, n_ctx_, request->prompt, stops);
        chat = chat || segment.kind == LA_SEGMENT_CHAT;
    }
    const char * param = chat ? "messages" : "prompt";
    const auto n_prompt = static_cast<int64_t>(request->prompt.size());
    if (n_prompt == 0) {
        throw Error(LA_ERR_INVALID, std::string(param) + " must not be empty", param);
    }
    const int64_t n_answer = spec.max_tokens > 0 ? spec.max_tokens : 1;
    if (n_prompt + n_answer > n_ctx_) {
        throw Error(LA_ERR_CONTEXT_LENGTH,
                    "this model's context is " + std::to_string(n_ctx_) + " tokens (n_ctx), but " +
                        std::to_string(n_prompt + n_answer) + " were asked for (" + std::to_string(n_prompt) +
                        " in the " + param + ", " + std::to_string(n_answer) + " for the answer)",
                    param);
    }
    std::vector<SequencePtr> sequences;
    for (int32_t choice = 0; choice < spec.n_choices; ++choice) {
        Sampler sampler(*model_, spec.sampling, choice, n_ctx_);
        sampler.accept_prompt(request->prompt);
        sequences.push_back(std::make_unique<Sequence>(request, choice, std::move(sampler), stops));
    }
    request->n_running = spec.n_choices;
    deliver_(std::move(sequences));
}

} // namespace la

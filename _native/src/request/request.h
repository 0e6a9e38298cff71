// A request from submit to its end.
#pragma once

#include "base/clock.h"
#include "channel/channel.h"
#include "chat/answer.h"
#include "llama_async.h"
#include "sampling/sampler.h"
#include "speculative/spec.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace la {

struct Segment {
    la_segment_kind kind;
    int32_t flags;
    std::string bytes;
};

// Owning copy of la_request, checked as far as that is possible without the model. Throws Error.
struct RequestSpec {
    // speculation: what the request leaves open.
    explicit RequestSpec(const la_request & request, const SpeculationSpec & speculation = {});

    // What answers it: one mailbox "choice" each.
    int32_t n_outputs() const;

    la_task task;
    std::vector<Segment> segments;
    SamplingSpec sampling;
    std::vector<std::string> stops;
    int32_t n_choices;
    int32_t max_tokens;
    bool stream;
    bool use_cache;
    bool prompt_logprobs;
    int32_t priority;
    SpeculationSpec speculation;
    std::string prediction; // empty: none
    double timeout_s;
    int32_t embd_normalize;
    int32_t embd_dimensions;
};

// How many of the requests that a thread is computing for are still wanted. Read by its abort callback.
struct BatchWatch {
    bool is_wanted() const { return n_wanting.load(std::memory_order_relaxed) > 0; }

    std::atomic<int32_t> n_wanting{ 0 };
};

// Owned by one engine thread at a time (preparation, then decode), handed over by a queue; the fields that others touch
// are atomic or belong to Requests.
struct Request {
    Request(uint64_t id, RequestSpec && spec)
        : id(id), spec(std::move(spec)), mailbox(std::make_shared<Mailbox>(id, this->spec.n_outputs())) {}

    bool expired(double now) const { return spec.timeout_s > 0 && now - active_s > spec.timeout_s; }

    // Constant.
    const uint64_t id;
    const RequestSpec spec;
    const std::shared_ptr<Mailbox> mailbox;
    const double submit_s = now_s();

    // Set by any thread, once. Relaxed would do: it carries no data.
    std::atomic<bool> cancelled{ false };

    int32_t n_prompt() const { return static_cast<int32_t>(prompt.size()) + n_input_tokens; }

    // The owning thread's.
    std::vector<llama_token> prompt;
    std::vector<std::vector<llama_token>> inputs; // to embed or to rank, one for each result
    int32_t n_input_tokens = 0;                   // of all inputs
    int32_t n_cached = 0;
    int32_t n_generated = 0;
    AnswerFormatPtr format; // null: the raw text is the content
    int32_t n_reasoning = 0; // tokens, of all choices that ended
    la_predicted predicted = { 0, 0 }; // the same
    int32_t n_running = 0;   // choices not finished yet
    double active_s = submit_s; // submit, or the last token of a stream
    double first_token_s = 0;
    double last_token_s = 0;
    std::string prompt_logprobs; // la_logprob entries of the prompt tokens scored so far
    bool scored = false;         // all of them, and posted
    bool admitted = false; // has, or had, a slot

    // Requests' own, under its mutex.
    BatchWatch * batch = nullptr;
};

using RequestPtr = std::shared_ptr<Request>;

} // namespace la

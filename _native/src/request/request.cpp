#include "request/request.h"

#include "base/error.h"
#include "tasks/text_task.h"
#include "text/utf8.h"

#include <cmath>

namespace la {

namespace {

constexpr size_t k_max_stop_bytes = 4096;
constexpr size_t k_max_segments = 16384; // a record each, at most

void require(bool ok, const char * param, const std::string & message) {
    if (!ok) {
        throw Error(LA_ERR_INVALID, std::string(param) + " " + message, param);
    }
}

} // namespace

RequestSpec::RequestSpec(const la_request & r, const SpeculationSpec & speculation)
    : task(static_cast<la_task>(r.task)),
      sampling(r.sampling),
      n_choices(r.n_choices),
      max_tokens(r.max_tokens),
      stream((r.flags & LA_REQUEST_STREAM) != 0),
      use_cache((r.flags & LA_REQUEST_NO_CACHE) == 0),
      prompt_logprobs((r.flags & LA_REQUEST_PROMPT_LOGPROBS) != 0),
      priority(r.priority),
      speculation(r.speculation, speculation),
      prediction(r.prediction.size > 0 ? std::string(r.prediction.data, r.prediction.size) : std::string()),
      timeout_s(r.timeout_s),
      embd_normalize(r.embd_normalize),
      embd_dimensions(r.embd_dimensions) {
    require(r.task >= LA_TASK_GENERATE && r.task <= LA_TASK_RENDER, "task",
            "is " + std::to_string(r.task) + ", which is none of la_task");
    require(task != LA_TASK_GENERATE || (n_choices >= 1 && n_choices <= LA_MAX_CHOICES), "n",
            "is " + std::to_string(n_choices) + ", must be between 1 and " + std::to_string(LA_MAX_CHOICES));
    require(is_valid_utf8(prediction), "prediction", "is not valid UTF-8");
    require(max_tokens >= -1, "max_tokens", "is " + std::to_string(max_tokens) + ", must not be negative");
    require(!std::isnan(timeout_s), "timeout", "is not a number");
    require(r.n_segments >= 1, "messages", "must not be empty");
    require(r.n_segments <= k_max_segments, "segments",
            "has " + std::to_string(r.n_segments) + " entries, the limit is " + std::to_string(k_max_segments));
    require(r.n_stop <= LA_MAX_STOP, "stop",
            "has " + std::to_string(r.n_stop) + " entries, the limit is " + std::to_string(LA_MAX_STOP));
    const bool embeds = task == LA_TASK_EMBED || task == LA_TASK_RERANK;
    require(!embeds || (embd_normalize >= -1 && embd_normalize <= 2), "embd_normalize",
            "is " + std::to_string(embd_normalize) + ", must be -1 (none), 0 (max absolute), 1 (taxicab) or 2 (euclidean)");
    require(!embeds || embd_dimensions >= 0, "dimensions",
            "is " + std::to_string(embd_dimensions) + ", must be at least 1, or 0 for all");
    require(task != LA_TASK_RERANK || r.n_segments >= 2, "documents", "must not be empty");
    if (r.n_adapters > 0 || r.adapters) {
        throw Error(LA_ERR_UNSUPPORTED, "adapters are not supported by this version", "adapters");
    }
    if (r.state) {
        throw Error(LA_ERR_UNSUPPORTED, "saved states are not supported by this version", "state");
    }
    for (size_t i = 0; i < r.n_stop; ++i) {
        require(r.stop[i].size > 0, "stop", "must not contain an empty string");
        require(r.stop[i].size <= k_max_stop_bytes, "stop",
                "has an entry of " + std::to_string(r.stop[i].size) + " bytes, the limit is " +
                    std::to_string(k_max_stop_bytes));
        stops.emplace_back(r.stop[i].data, r.stop[i].size);
    }
    for (size_t i = 0; i < r.n_segments; ++i) {
        const la_segment & s = r.segments[i];
        if (s.kind == LA_SEGMENT_MEDIA) {
            throw Error(LA_ERR_UNSUPPORTED, "images and audio are not supported by this version", "messages");
        }
        require(s.kind == LA_SEGMENT_TOKENS || s.kind == LA_SEGMENT_TEXT || s.kind == LA_SEGMENT_CHAT, "segments",
                "has an entry of unknown kind " + std::to_string(s.kind));
        require(s.kind != LA_SEGMENT_TOKENS || s.size % sizeof(int32_t) == 0,
                task == LA_TASK_DETOKENIZE ? "tokens" : "prompt",
                "has a token run whose size is no multiple of 4 bytes");
        require(!embeds || s.kind != LA_SEGMENT_CHAT, "input", "must be text or tokens");
        std::string bytes = s.size > 0 ? std::string(static_cast<const char *>(s.data), s.size) : std::string();
        require(s.kind == LA_SEGMENT_TOKENS || is_valid_utf8(bytes), s.kind == LA_SEGMENT_CHAT ? "messages" : task == LA_TASK_TOKENIZE ? "text" : "prompt",
                "is not valid UTF-8");
        segments.push_back({ static_cast<la_segment_kind>(s.kind), s.flags, std::move(bytes) });
    }
    if (is_text_task(task)) {
        check_text_task(*this);
    }
}

int32_t RequestSpec::n_outputs() const {
    const auto n_segments = static_cast<int32_t>(segments.size());
    switch (task) {
        case LA_TASK_GENERATE:
            return n_choices;
        case LA_TASK_RERANK:
            return n_segments - 1; // the first is the query
        default:
            return n_segments;
    }
}

} // namespace la

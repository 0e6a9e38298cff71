#include "tasks/text_task.h"

#include "base/asserts.h"
#include "base/error.h"
#include "chat/render.h"
#include "model/model.h"
#include "text/utf8.h"

#include "common.h"

#include <cstring>
#include <limits>

namespace la {

namespace {

// Of one request. No context bounds these tasks, but a queue full of them must fit into memory, and the preparation
// thread serves everybody: 4 MiB of English take one to two seconds, 4 MiB of blanks five (measured, BPE).
constexpr size_t k_max_bytes = size_t(4) << 20;
constexpr size_t k_max_text_bytes = size_t(64) << 20; // of detokenized text: a token may be long

const char * param_of(la_task task) {
    return task == LA_TASK_TOKENIZE ? "text" : task == LA_TASK_DETOKENIZE ? "tokens" : "messages";
}

la_segment_kind kind_of(la_task task) {
    return task == LA_TASK_TOKENIZE     ? LA_SEGMENT_TEXT
           : task == LA_TASK_DETOKENIZE ? LA_SEGMENT_TOKENS
                                        : LA_SEGMENT_CHAT;
}

} // namespace

bool is_text_task(la_task task) {
    return task == LA_TASK_TOKENIZE || task == LA_TASK_DETOKENIZE || task == LA_TASK_RENDER;
}

void check_text_task(const RequestSpec & spec) {
    const std::string param = param_of(spec.task);
    if (spec.task == LA_TASK_RENDER && spec.segments.size() != 1) {
        throw Error(LA_ERR_INVALID, "messages must be one conversation", param);
    }
    size_t n_bytes = 0;
    for (const auto & segment : spec.segments) {
        if (segment.kind != kind_of(spec.task)) {
            throw Error(LA_ERR_INVALID,
                        param + " has a segment of kind " + std::to_string(segment.kind) + ", which this task does not take",
                        param);
        }
        n_bytes += segment.bytes.size();
    }
    if (n_bytes > k_max_bytes) {
        throw Error(LA_ERR_INVALID,
                    param + " has " + std::to_string(n_bytes) + " bytes, the limit is " + std::to_string(k_max_bytes),
                    param);
    }
}

std::string detokenize(const Model & model, std::string_view bytes) {
    std::string text;
    Utf8Assembler utf8;
    for (size_t at = 0; at < bytes.size(); at += sizeof(llama_token)) {
        llama_token token;
        std::memcpy(&token, bytes.data() + at, sizeof(token));
        if (token < 0 || token >= model.n_vocab()) {
            throw Error(LA_ERR_INVALID,
                        "tokens has " + std::to_string(token) + ", the vocabulary has 0.." +
                            std::to_string(model.n_vocab() - 1),
                        "tokens");
        }
        const std::string & piece = model.piece(token);
        utf8.push(piece.empty() ? common_token_to_piece(model.vocab(), token, true) : piece, text);
        if (text.size() > k_max_text_bytes) {
            throw Error(LA_ERR_INVALID,
                        "tokens are more than " + std::to_string(k_max_text_bytes) + " bytes of text, which is the limit",
                        "tokens");
        }
    }
    utf8.flush(text);
    return text;
}

std::vector<TextResult> run_text_task(const Model & model, const Request & request) {
    const AssertsThrow asserts_throw;
    const RequestSpec & spec = request.spec;
    std::vector<TextResult> results;
    for (const auto & segment : spec.segments) {
        if (request.cancelled) {
            break;
        }
        TextResult result;
        switch (spec.task) {
            case LA_TASK_TOKENIZE:
                result.tokens = tokenize(model, segment.bytes, (segment.flags & LA_SEGMENT_ADD_SPECIAL) != 0,
                                         (segment.flags & LA_SEGMENT_PARSE_SPECIAL) != 0);
                result.n_tokens = static_cast<int32_t>(result.tokens.size());
                break;
            case LA_TASK_DETOKENIZE:
                result.text = detokenize(model, segment.bytes);
                result.n_tokens = static_cast<int32_t>(segment.bytes.size() / sizeof(llama_token));
                break;
            default: {
                auto rendered = render_chat(model, segment.bytes, std::numeric_limits<int32_t>::max());
                result.text = std::move(rendered.text);
                result.tokens = std::move(rendered.tokens);
                result.n_tokens = static_cast<int32_t>(result.tokens.size());
            }
        }
        results.push_back(std::move(result));
    }
    return results;
}

} // namespace la

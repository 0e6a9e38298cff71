#include "embedding/inputs.h"

#include "base/error.h"
#include "chat/render.h"

namespace la {

namespace {

using Tokens = std::vector<llama_token>;

void append(Tokens & tokens, const Tokens & more) {
    tokens.insert(tokens.end(), more.begin(), more.end());
}

void check_wanted(const Request & request) {
    if (request.cancelled.load(std::memory_order_relaxed)) {
        throw Error(LA_ERR_CANCELLED, "cancelled");
    }
}

void check_length(size_t n_tokens, const EmbeddingTraits & traits, const std::string & param) {
    if (n_tokens > static_cast<size_t>(traits.n_input_max)) {
        throw Error(LA_ERR_CONTEXT_LENGTH,
                    param + " has " + std::to_string(n_tokens) + " tokens, the longest input of this model is " +
                        std::to_string(traits.n_input_max),
                    param);
    }
}

Tokens input_tokens(const Model & model, const Segment & segment, const std::string & param) {
    if (segment.kind == LA_SEGMENT_TOKENS) {
        return model.tokens_of(segment.bytes, param);
    }
    return tokenize(model, segment.bytes, (segment.flags & LA_SEGMENT_ADD_SPECIAL) != 0,
                    (segment.flags & LA_SEGMENT_PARSE_SPECIAL) != 0);
}

// A template's own words are parsed for control tokens, the texts put into it are not: cut at `mark`.
Tokens tokenize_marked(const Model & model, const std::string & text, const std::string & mark) {
    Tokens tokens;
    for (size_t from = 0; from != std::string::npos;) {
        const size_t to = text.find(mark, from);
        append(tokens, tokenize(model, text.substr(from, to - from), false, true));
        from = to == std::string::npos ? to : to + mark.size();
    }
    return tokens;
}

// Puts both texts in at once: a query that spells "{document}" stays what it is.
std::string fill_template(const std::string & pattern, const std::string & query, const std::string & document) {
    std::string out;
    for (size_t i = 0; i < pattern.size();) {
        if (pattern.compare(i, 7, "{query}") == 0) {
            out += query;
            i += 7;
        } else if (pattern.compare(i, 10, "{document}") == 0) {
            out += document;
            i += 10;
        } else {
            out += pattern[i++];
        }
    }
    return out;
}

// Query and document as llama-server joins them (tools/server/server-common.cpp at the pinned commit): by the model's
// own "rerank" template, or else with the special tokens that its vocabulary asks for.
class PairFormat {
  public:
    PairFormat(const Model & model, const Segment & query) : model_(model) {
        const char * pattern = llama_model_chat_template(model.weights(), "rerank");
        if (pattern && query.kind == LA_SEGMENT_TEXT) {
            pattern_ = pattern;
            query_ = query.bytes;
        } else {
            query_tokens_ = part(query, "query");
        }
    }

    Tokens join(const Segment & document, const std::string & param) const {
        if (!pattern_.empty()) {
            if (document.kind != LA_SEGMENT_TEXT) {
                throw Error(LA_ERR_INVALID, param + " must be text, as the query is", param);
            }
            const std::string mark = unused_mark(pattern_ + query_ + document.bytes);
            const auto foreign = [&](const std::string & text) {
                return split_control_texts(text, model_.control_texts(), mark);
            };
            return tokenize_marked(model_, fill_template(pattern_, foreign(query_), foreign(document.bytes)), mark);
        }
        const llama_vocab * vocab = model_.vocab();
        const llama_token eos = llama_vocab_eos(vocab) != LLAMA_TOKEN_NULL ? llama_vocab_eos(vocab) : llama_vocab_sep(vocab);
        Tokens tokens;
        const auto special = [&](bool wanted, llama_token token) {
            if (wanted && token != LLAMA_TOKEN_NULL) {
                tokens.push_back(token);
            }
        };
        special(llama_vocab_get_add_bos(vocab), llama_vocab_bos(vocab));
        append(tokens, query_tokens_);
        special(llama_vocab_get_add_eos(vocab), eos);
        special(llama_vocab_get_add_sep(vocab), llama_vocab_sep(vocab));
        append(tokens, part(document, param));
        special(llama_vocab_get_add_eos(vocab), eos);
        return tokens;
    }

  private:
    Tokens part(const Segment & segment, const std::string & param) const {
        return segment.kind == LA_SEGMENT_TOKENS ? model_.tokens_of(segment.bytes, param)
                                                 : tokenize(model_, segment.bytes, false, false);
    }

    const Model & model_;
    std::string pattern_; // empty: none
    std::string query_;
    Tokens query_tokens_;
};

std::string place(const char * name, size_t index, bool alone) {
    return alone ? name : std::string(name) + "[" + std::to_string(index) + "]";
}

} // namespace

void prepare_inputs(const Model & model, const EmbeddingTraits & traits, Request & request) {
    const auto & segments = request.spec.segments;
    const auto add = [&](Tokens tokens, const std::string & param) {
        if (tokens.empty()) {
            throw Error(LA_ERR_INVALID, param + " has no tokens", param);
        }
        check_length(tokens.size(), traits, param);
        request.n_input_tokens += static_cast<int32_t>(tokens.size());
        request.inputs.push_back(std::move(tokens));
        check_wanted(request);
    };
    if (request.spec.task == LA_TASK_EMBED) {
        for (size_t i = 0; i < segments.size(); ++i) {
            const std::string param = place("input", i, segments.size() == 1);
            add(input_tokens(model, segments[i], param), param);
        }
        return;
    }
    const PairFormat format(model, segments[0]);
    for (size_t i = 1; i < segments.size(); ++i) {
        const std::string param = place("documents", i - 1, false);
        add(format.join(segments[i], param), param);
    }
}

} // namespace la

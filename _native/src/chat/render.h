// Chat messages -> prompt tokens, by upstream's common_chat. Used by the preparation thread only: a call takes between
// 0.2 and 20 ms, since upstream analyses the template each time.
#pragma once

#include "llama_async.h"
#include "sampling/grammar.h"

#include "llama.h"

#include <string>
#include <string_view>
#include <vector>

namespace la {

class Model;

struct RenderedChat {
    std::vector<llama_token> tokens;
    std::vector<std::string> stops; // that the template asks for
    Grammar grammar;                // of the schema, if there is one
    std::string text;               // what `tokens` stand for, but for a BOS token that the model adds
};

// `json` is the object of an LA_SEGMENT_CHAT (docs/abi.md). Throws Error: LA_ERR_TEMPLATE, LA_ERR_INVALID,
// LA_ERR_GRAMMAR, LA_ERR_CONTEXT_LENGTH (text that cannot fit into n_ctx tokens is refused before any work is spent on
// it).
RenderedChat render_chat(const Model & model, std::string_view json, int32_t n_ctx);

// Tokens of `text`; throws Error when upstream cannot tokenize it.
std::vector<llama_token> tokenize(const Model & model, const std::string & text, bool add_special, bool parse_special);

// Characters that `text` does not contain, to cut it at later. Throws Error. Pure.
std::string unused_mark(std::string_view text);

// Inserts `mark` after the first character of every control token's name in `text`, so that the name cannot be parsed
// as the token. Pure.
std::string split_control_texts(std::string_view text, const std::vector<std::string> & controls,
                                std::string_view mark);

} // namespace la

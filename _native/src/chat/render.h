// A conversation -> the prompt's tokens, what the answer must obey and how it is read, by upstream's common_chat. Used by the
// preparation thread only: a template is analysed anew for each request, which takes between 0.2 and 20 ms.
#pragma once

#include "chat/answer.h"
#include "chat/inputs.h"
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
    std::string text;               // what `tokens` stand for, but for a BOS token that the model adds
    Constraint constraint;          // of a schema or of tools, if there are any
    AnswerFormatPtr format;         // null: the raw text is the content
    std::vector<std::string> call_marks; // text that begins calls, which go on to the end
    bool only_calls = false;             // nothing is said beside them
};

// `json` is the object of an LA_SEGMENT_CHAT (docs/abi.md). Throws Error: LA_ERR_TEMPLATE, LA_ERR_INVALID,
// LA_ERR_GRAMMAR, LA_ERR_CONTEXT_LENGTH.
RenderedChat render_chat(const Model & model, std::string_view json, int32_t n_ctx);

// Tokens of `text`; throws Error when upstream cannot tokenize it.
std::vector<llama_token> tokenize(const Model & model, const std::string & text, bool add_special, bool parse_special);

} // namespace la

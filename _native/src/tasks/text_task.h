// Tokenizing, detokenizing and rendering as requests of their own: all of their work is done by the preparation thread.
#pragma once

#include "request/request.h"

#include "llama.h"

#include <string>
#include <string_view>
#include <vector>

namespace la {

class Model;

// What answers one segment.
struct TextResult {
    std::string text; // valid UTF-8
    std::vector<llama_token> tokens; // unless they are what was asked about
    int32_t n_tokens = 0;
};

bool is_text_task(la_task task);

// Checks what can be checked without a model: kinds of segments, size. Throws Error.
void check_text_task(const RequestSpec & spec);

// One result per segment. Stops early, with what it has, once the request is cancelled. Throws Error.
std::vector<TextResult> run_text_task(const Model & model, const Request & request);

// The text of tokens, control tokens by their names, as llama-server's /detokenize. Bytes that are not UTF-8 become
// U+FFFD. Throws Error for a token that the vocabulary does not have, and for text beyond all measure.
std::string detokenize(const Model & model, std::string_view tokens);

} // namespace la

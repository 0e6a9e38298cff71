// What ends the free text before a lazy grammar.
#pragma once

#include "sampling/trigger_pattern.h"

#include "common.h"

#include "llama.h"

#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace la {

// Upstream runs std::regex over all text since the beginning, with each token: 290 us a token at 8,000 of them, and its
// recursion can end the process. Here each byte is looked at once, and kept only while it may be part of a match.
class Trigger {
  public:
    // A token, or the part of one that the grammar gets to see.
    struct Part {
        llama_token token;
        std::string text;
    };

    // Throws Error (LA_ERR_INTERNAL) for a pattern of unknown form.
    explicit Trigger(const std::vector<common_grammar_trigger> & triggers);

    // Takes a token; returns what the grammar begins with if that was the trigger, else nothing.
    std::vector<Part> push(llama_token token, std::string_view text);

    // From here on: what was found was none.
    void go_on();

  private:
    struct Kept {
        llama_token token;
        size_t start; // in bytes of the text
        std::string text;
    };

    std::vector<llama_token> tokens_;
    std::vector<TriggerPatternPtr> patterns_;
    std::vector<PatternSearch> searches_; // one a pattern
    std::deque<Kept> kept_;
    size_t n_bytes_ = 0;
};

} // namespace la

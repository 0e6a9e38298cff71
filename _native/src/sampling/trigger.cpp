#include "sampling/trigger.h"

#include <algorithm>

namespace la {

Trigger::Trigger(const std::vector<common_grammar_trigger> & triggers) {
    for (const auto & trigger : triggers) {
        switch (trigger.type) {
            case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
                tokens_.push_back(trigger.token);
                break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_WORD:
                patterns_.push_back(TriggerPattern::literal(trigger.value));
                break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
                patterns_.push_back(TriggerPattern::expression(trigger.value));
                break;
            case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL: {
                const std::string & value = trigger.value;
                const bool begins = !value.empty() && value.front() == '^';
                const bool ends = !value.empty() && value.back() == '$';
                patterns_.push_back(TriggerPattern::expression((begins ? "" : "^") + value + (ends ? "" : "$")));
                break;
            }
        }
    }
    go_on();
}

void Trigger::go_on() {
    searches_.clear();
    for (const auto & pattern : patterns_) {
        searches_.emplace_back(pattern, n_bytes_);
    }
    kept_.clear();
}

std::vector<Trigger::Part> Trigger::push(llama_token token, std::string_view text) {
    if (std::find(tokens_.begin(), tokens_.end(), token) != tokens_.end()) {
        return { { token, std::string(text) } };
    }
    kept_.push_back({ token, n_bytes_, std::string(text) });
    n_bytes_ += text.size();
    size_t needed_from = n_bytes_;
    for (auto & search : searches_) {
        if (const auto start = search.push(text)) {
            std::vector<Part> parts;
            for (const auto & kept : kept_) {
                const size_t end = kept.start + kept.text.size();
                if (end > *start) {
                    parts.push_back({ kept.token, kept.text.substr(std::max(*start, kept.start) - kept.start) });
                }
            }
            return parts;
        }
        needed_from = std::min(needed_from, search.needed_from());
    }
    while (!kept_.empty() && kept_.front().start + kept_.front().text.size() <= needed_from) {
        kept_.pop_front();
    }
    return {};
}

} // namespace la

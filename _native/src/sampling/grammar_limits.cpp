#include "sampling/grammar_limits.h"

#include "base/error.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace la {

namespace {

[[noreturn]] void refuse(const std::string & message) {
    throw Error(LA_ERR_GRAMMAR, "grammar " + message, "grammar");
}

// Walks over the text once, keeping the number of elements so far and of the last symbol, which a repetition multiplies.
class Estimate {
  public:
    explicit Estimate(std::string_view text) : text_(text) {}

    void run() {
        while (at_ < text_.size()) {
            step();
            if (n_elements_ > GrammarLimits::k_max_elements) {
                refuse("writes out to more than " + std::to_string(GrammarLimits::k_max_elements) +
                       " elements: fewer or smaller repetitions, please");
            }
        }
    }

  private:
    void step() {
        const char c = text_[at_];
        if (c == '#') {
            at_ = std::min(text_.find('\n', at_), text_.size());
        } else if (c == '"') {
            symbol(quoted('"'));
        } else if (c == '[') {
            symbol(quoted(']'));
        } else if (c == '(') {
            if (++depth_ > GrammarLimits::k_max_depth) {
                refuse("nests more than " + std::to_string(GrammarLimits::k_max_depth) + " groups");
            }
            ++at_;
        } else if (c == ')') {
            --depth_;
            symbol(1); // a group is a rule of its own; repeated is the reference to it
            ++at_;
        } else if (c == '{') {
            repeat();
        } else if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.') {
            while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '-')) {
                ++at_;
            }
            symbol(1);
            at_ += c == '.' || c == '_';
        } else {
            ++at_; // white space, ::=, |, *, +, ?
        }
    }

    void symbol(size_t n) {
        n_last_ = std::max<size_t>(n, 1);
        n_elements_ += n_last_;
    }

    // Skips to behind the closing quote or bracket; returns the characters between.
    size_t quoted(char close) {
        size_t n = 0;
        for (++at_; at_ < text_.size() && text_[at_] != close; ++at_, ++n) {
            at_ += text_[at_] == '\\';
        }
        ++at_;
        return n;
    }

    void repeat() {
        size_t numbers[2] = { 0, 0 }; // {m}, {m,} and {m,n}
        bool has_digits[2] = { false, false };
        int which = 0;
        for (++at_; at_ < text_.size() && text_[at_] != '}'; ++at_) {
            const char c = text_[at_];
            if (c >= '0' && c <= '9') {
                auto & number = numbers[which];
                number = std::min<size_t>(number * 10 + static_cast<size_t>(c - '0'), GrammarLimits::k_max_elements);
                has_digits[which] = true;
            } else if (c == ',') {
                which = 1;
            }
        }
        ++at_;
        if (has_digits[1] && numbers[1] < numbers[0]) {
            // Upstream would count down from there through all of 2^64.
            refuse("repeats at least " + std::to_string(numbers[0]) + " and at most " + std::to_string(numbers[1]) +
                   " times");
        }
        n_elements_ += std::max(numbers[0], numbers[1]) * (n_last_ + 2);
    }

    std::string_view text_;
    size_t at_ = 0;
    int depth_ = 0;
    size_t n_elements_ = 0;
    size_t n_last_ = 0;
};

} // namespace

void check_grammar_limits(std::string_view grammar) {
    if (grammar.size() > GrammarLimits::k_max_bytes) {
        refuse("is " + std::to_string(grammar.size()) + " bytes long, the limit is " +
               std::to_string(GrammarLimits::k_max_bytes));
    }
    if (grammar.substr(0, 11) == "%llguidance") {
        refuse("is written for llguidance, which this build does not have");
    }
    Estimate(grammar).run();
}

} // namespace la

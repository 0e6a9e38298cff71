#include "chat/json_run.h"

#include "text/space.h"

#include <cctype>

namespace la {

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_number(std::string_view text) {
    size_t at = 0;
    const auto here = [&] { return at < text.size() ? text[at] : '\0'; };
    const auto digits = [&] {
        const size_t from = at;
        while (is_digit(here())) {
            ++at;
        }
        return at > from;
    };
    at += here() == '-' ? 1 : 0;
    const bool zero = here() == '0';
    const size_t from = at;
    if (!digits() || (zero && at > from + 1)) {
        return false;
    }
    if (here() == '.') {
        ++at;
        if (!digits()) {
            return false;
        }
    }
    if (here() == 'e' || here() == 'E') {
        ++at;
        at += here() == '+' || here() == '-' ? 1 : 0;
        if (!digits()) {
            return false;
        }
    }
    return at == text.size();
}

// Whether more text can make it a number.
static bool begins_number(const std::string & text) {
    return is_number(text) || is_number(text + "0");
}

static bool begins_word(const std::string & text) {
    for (const std::string_view word : { "true", "false", "null" }) {
        if (word.substr(0, text.size()) == text) {
            return true;
        }
    }
    return begins_number(text);
}

bool JsonRun::begin_value(char c) {
    if (c == '{' || c == '[') {
        open_.push_back(c);
        state_ = c == '{' ? State::first_name : State::first_value;
    } else if (c == '"') {
        key_ = false;
        state_ = State::text;
    } else if (c == '-' || is_digit(c) || c == 't' || c == 'f' || c == 'n') {
        word_ = c;
        state_ = State::word;
    } else {
        return false;
    }
    return true;
}

// Behind a value.
bool JsonRun::end_value(char c) {
    if (open_.empty()) {
        return false;
    }
    const bool object = open_.back() == '{';
    if (c == ',') {
        state_ = object ? State::name : State::value;
    } else if (c == (object ? '}' : ']')) {
        open_.pop_back();
        state_ = State::behind;
    } else {
        return false;
    }
    return true;
}

bool JsonRun::push(char c) {
    switch (state_) {
        case State::text:
            if (c == '"') {
                state_ = key_ ? State::colon : State::behind;
            } else if (c == '\\') {
                state_ = State::escape;
            }
            return static_cast<unsigned char>(c) >= 0x20;
        case State::escape:
            n_hex_ = 0;
            state_ = c == 'u' ? State::hex : State::text;
            return std::string_view("\"\\/bfnrtu").find(c) != std::string_view::npos;
        case State::hex:
            state_ = ++n_hex_ == 4 ? State::text : State::hex;
            return std::isxdigit(static_cast<unsigned char>(c)) != 0;
        case State::word:
            if (is_digit(c) || (c >= 'a' && c <= 'z') || c == 'E' || c == '+' || c == '-' || c == '.') {
                word_ += c;
                return begins_word(word_);
            }
            if (word_ != "true" && word_ != "false" && word_ != "null" && !is_number(word_)) {
                return false;
            }
            state_ = State::behind;
            return is_space(c) || end_value(c);
        default:
            break;
    }
    if (is_space(c)) {
        return state_ != State::begin;
    }
    switch (state_) {
        case State::begin:
            return c == '{' && begin_value(c);
        case State::value:
            return begin_value(c);
        case State::first_value:
            return c == ']' ? end_value(c) : begin_value(c);
        case State::first_name:
        case State::name:
            if (c == '}' && state_ == State::first_name) {
                return end_value(c);
            }
            key_ = true;
            state_ = State::text;
            return c == '"';
        case State::colon:
            state_ = State::value;
            return c == ':';
        default:
            return end_value(c);
    }
}

bool JsonRun::push_open(std::string_view text) {
    for (const char c : text) {
        if (!push(c) || ended()) {
            return false;
        }
    }
    return true;
}

} // namespace la

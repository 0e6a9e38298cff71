#include "sampling/trigger_pattern.h"

#include "base/error.h"

#include <algorithm>

namespace la {

// -- compiling --------------------------------------------------------------------------------------------------------

class PatternParser {
  public:
    PatternParser(std::string_view text, TriggerPattern & pattern) : text_(text), steps_(pattern.steps_) {}

    void run() {
        alternatives();
        if (at_ < text_.size()) {
            refuse();
        }
        emit({ TriggerPattern::Op::match, {}, 0, 0, {} });
    }

  private:
    using Step = TriggerPattern::Step;
    using Op = TriggerPattern::Op;

    [[noreturn]] void refuse() const {
        throw Error(LA_ERR_INTERNAL, "the trigger '" + std::string(text_) + "' of a chat template's grammar is of no known form");
    }
    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool accept(std::string_view what) {
        const bool found = text_.substr(at_, what.size()) == what;
        at_ += found ? what.size() : 0;
        return found;
    }
    uint32_t here() const { return static_cast<uint32_t>(steps_.size()); }
    void emit(Step step) { steps_.push_back(std::move(step)); }

    // Moves what was emitted from `from` on by one, for a step before it.
    void insert(uint32_t from, Step step) {
        for (uint32_t i = from; i < here(); ++i) {
            steps_[i].to += steps_[i].op == Op::split ? 1 : 0;
            steps_[i].otherwise += steps_[i].op == Op::split ? 1 : 0;
        }
        steps_.insert(steps_.begin() + from, std::move(step));
    }

    void alternatives() {
        const uint32_t from = here();
        sequence();
        if (!accept("|")) {
            return;
        }
        // The way around the second is a split with one way only.
        insert(from, { Op::split, {}, from + 1, here() + 2, {} });
        const uint32_t jump = here();
        emit({ Op::split, {}, 0, 0, {} });
        alternatives();
        steps_[jump].to = steps_[jump].otherwise = here();
    }

    void sequence() {
        while (at_ < text_.size() && peek() != '|' && peek() != ')') {
            const uint32_t from = here();
            const bool repeatable = atom();
            const char how_often = peek();
            if (how_often != '*' && how_often != '+' && how_often != '?') {
                continue;
            }
            ++at_;
            if (!repeatable) {
                refuse();
            }
            const bool lazy = accept("?");
            const auto split = [&](uint32_t again, uint32_t on) {
                return Step{ Op::split, {}, lazy ? on : again, lazy ? again : on, {} };
            };
            if (how_often == '+') {
                emit(split(from, here() + 1));
            } else {
                const uint32_t behind = here() + (how_often == '*' ? 2 : 1);
                insert(from, split(from + 1, behind));
                if (how_often == '*') {
                    emit({ Op::split, {}, from, from, {} });
                }
            }
        }
    }

    // Whether it may be repeated: always so many bytes.
    bool atom() {
        if (accept("(?!")) {
            Step step = { Op::not_before, {}, 0, 0, {} };
            while (peek() != ')') {
                step.literal += plain_byte();
            }
            ++at_;
            if (step.literal.empty()) {
                refuse();
            }
            emit(std::move(step));
            return false;
        }
        if (accept("(?:")) {
            return group();
        }
        if (accept("(")) {
            if (has_group_) {
                refuse(); // of several, the first that is not empty would count
            }
            has_group_ = true;
            emit({ Op::begin_group, {}, 0, 0, {} });
            group();
            emit({ Op::end_group, {}, 0, 0, {} });
            return false;
        }
        if (accept("^")) {
            emit({ Op::at_begin, {}, 0, 0, {} });
            return false;
        }
        if (accept("$")) {
            if (at_ < text_.size()) {
                refuse();
            }
            emit({ Op::at_end, {}, 0, 0, {} });
            return false;
        }
        Step step = { Op::byte, {}, 0, 0, {} };
        if (accept("[")) {
            set(step.bytes);
        } else if (accept("\\s")) {
            for (const char c : std::string_view(" \t\n\v\f\r")) {
                step.bytes.set(static_cast<uint8_t>(c));
            }
        } else {
            step.bytes.set(static_cast<uint8_t>(plain_byte()));
        }
        emit(std::move(step));
        return true;
    }

    bool group() {
        const uint32_t from = here();
        alternatives();
        if (!accept(")")) {
            refuse();
        }
        return from < here() && std::all_of(steps_.begin() + from, steps_.end(),
                                            [](const Step & step) { return step.op == Op::byte; });
    }

    void set(std::bitset<256> & bytes) {
        const bool complement = accept("^");
        while (peek() != ']') {
            if (text_.substr(at_ + 1, 1) == "-") {
                refuse(); // a range: none of upstream's has one
            }
            bytes.set(static_cast<uint8_t>(set_byte()));
        }
        ++at_;
        if (complement) {
            bytes.flip();
        }
    }

    char set_byte() {
        if (at_ >= text_.size() || (peek() == '\\' && !is_mark(text_.substr(at_ + 1, 1)))) {
            refuse();
        }
        at_ += peek() == '\\' ? 1 : 0;
        return text_[at_++];
    }

    // A byte that stands for itself.
    char plain_byte() {
        if (at_ >= text_.size()) {
            refuse();
        }
        if (peek() == '\\') {
            if (!is_mark(text_.substr(at_ + 1, 1))) {
                refuse();
            }
            ++at_;
        } else if (is_mark(text_.substr(at_, 1)) && peek() != ']' && peek() != '}') {
            refuse();
        }
        return text_[at_++];
    }

    static bool is_mark(std::string_view c) {
        return !c.empty() && std::string_view("^$\\.*+?()[]{}|").find(c) != std::string_view::npos;
    }

    std::string_view text_;
    std::vector<Step> & steps_;
    size_t at_ = 0;
    bool has_group_ = false;
};

TriggerPatternPtr TriggerPattern::literal(std::string_view text) {
    auto pattern = std::make_shared<TriggerPattern>();
    for (const char c : text) {
        Step step = { Op::byte, {}, 0, 0, {} };
        step.bytes.set(static_cast<uint8_t>(c));
        pattern->steps_.push_back(std::move(step));
    }
    pattern->steps_.push_back({ Op::match, {}, 0, 0, {} });
    pattern->finish();
    return pattern;
}

TriggerPatternPtr TriggerPattern::expression(std::string_view text) {
    auto pattern = std::make_shared<TriggerPattern>();
    PatternParser(text, *pattern).run();
    pattern->finish();
    return pattern;
}

void TriggerPattern::finish() {
    std::vector<uint32_t> open = { 0 };
    std::vector<bool> seen(steps_.size());
    while (!open.empty()) {
        const uint32_t at = open.back();
        open.pop_back();
        if (seen[at]) {
            continue;
        }
        seen[at] = true;
        const Step & step = steps_[at];
        switch (step.op) {
            case Op::byte:
                first_ |= step.bytes;
                break;
            case Op::split:
                open.push_back(step.to);
                open.push_back(step.otherwise);
                break;
            case Op::at_begin:
                break; // not behind the beginning
            case Op::at_end:
            case Op::match:
                first_.set(); // nothing needs to follow
                break;
            case Op::begin_group:
            case Op::end_group:
            case Op::not_before:
                open.push_back(at + 1);
                break;
        }
    }
}

// -- searching --------------------------------------------------------------------------------------------------------

// Follows a way to the steps that wait for a byte, and to the ends, in the order of preference.
void PatternSearch::add(Way way) {
    const auto & step = pattern_->steps()[way.step];
    switch (step.op) {
        case TriggerPattern::Op::split: {
            Way other = way;
            way.step = step.to;
            other.step = step.otherwise;
            add(std::move(way));
            if (step.otherwise != step.to) {
                add(std::move(other));
            }
            return;
        }
        case TriggerPattern::Op::begin_group:
            way.group = n_bytes_;
            break;
        case TriggerPattern::Op::end_group:
            way.group = way.group == n_bytes_ ? std::string::npos : way.group;
            break;
        case TriggerPattern::Op::at_begin:
            if (n_bytes_ > 0) {
                return;
            }
            break;
        case TriggerPattern::Op::not_before:
            way.unwanted.push_back({ way.step, 0 });
            break;
        case TriggerPattern::Op::byte:
        case TriggerPattern::Op::at_end:
        case TriggerPattern::Op::match: {
            // Two that differ in their start only go the same way from here: the one preferred is enough.
            const bool known = std::any_of(next_.begin(), next_.end(), [&](const Way & other) {
                return other.step == way.step && other.unwanted == way.unwanted;
            });
            if (!known) {
                next_.push_back(std::move(way));
            }
            return;
        }
    }
    ++way.step;
    add(std::move(way));
}

// From ways_ to the ways behind `byte`; n_bytes_ counts it.
void PatternSearch::take(uint8_t byte) {
    next_.clear();
    ++n_bytes_;
    for (auto & way : ways_) {
        const auto & step = pattern_->steps()[way.step];
        const bool matched = step.op == TriggerPattern::Op::match;
        if (!matched && (step.op != TriggerPattern::Op::byte || !step.bytes[byte])) {
            continue;
        }
        bool refuted = false;
        std::vector<Unwanted> unwanted;
        for (auto & one : way.unwanted) {
            const std::string & literal = pattern_->steps()[one.step].literal;
            if (static_cast<uint8_t>(literal[one.n_met]) != byte) {
                continue; // it did not follow
            }
            refuted = refuted || one.n_met + 1 == literal.size();
            unwanted.push_back({ one.step, one.n_met + 1 });
        }
        if (refuted) {
            continue;
        }
        way.unwanted = std::move(unwanted);
        way.step += matched ? 0 : 1;
        const bool certain = matched && way.unwanted.empty();
        add(std::move(way));
        if (certain) {
            break; // what is tried after it does not matter any more
        }
    }
    ways_.swap(next_);
}

std::optional<size_t> PatternSearch::push(std::string_view piece) {
    const auto begin_here = [&] {
        next_.swap(ways_);
        add({ 0, n_bytes_, std::string::npos, {} });
        next_.swap(ways_);
    };
    for (const char c : piece) {
        const auto byte = static_cast<uint8_t>(c);
        if (n_bytes_ == 0 || pattern_->may_begin(byte)) {
            begin_here();
        }
        if (ways_.empty()) {
            ++n_bytes_;
        } else {
            take(byte);
        }
    }
    if (pattern_->may_be_empty()) {
        begin_here();
    }
    for (const auto & way : ways_) {
        if (pattern_->steps()[way.step].op != TriggerPattern::Op::byte) { // match, or `$`, behind which there is only that
            return way.group != std::string::npos ? way.group : way.start;
        }
    }
    return std::nullopt;
}

size_t PatternSearch::needed_from() const {
    size_t from = n_bytes_;
    for (const auto & way : ways_) {
        from = std::min(from, way.start);
    }
    return from;
}

} // namespace la

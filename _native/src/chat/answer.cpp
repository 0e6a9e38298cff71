#include "chat/answer.h"

#include "base/clock.h"
#include "log/log_ring.h"

#include <algorithm>
#include <exception>
#include <random>

namespace la {

namespace {

constexpr double k_time_share = 200; // an update's cost is waited for so many times before the next
constexpr int k_max_depth = 200;     // of brackets and braces; a level takes the parser some kilobytes of stack

std::string random_id() {
    static constexpr char k_letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::random_device device;
    std::uniform_int_distribution<size_t> letter(0, sizeof(k_letters) - 2);
    std::string id = "call_";
    for (int i = 0; i < 24; ++i) {
        id += k_letters[letter(device)];
    }
    return id;
}

bool starts_with(const std::string & text, const std::string & start) {
    return text.compare(0, start.size(), start) == 0;
}

} // namespace

AnswerParser::AnswerParser(AnswerFormatPtr format, MakeId make_id)
    : format_(std::move(format)), make_id_(make_id ? std::move(make_id) : random_id) {
    if (format_->parser.is_continuation) {
        // What the message has already is not said again.
        common_chat_msg start;
        if (parse(false, start)) {
            sent_ = std::move(start);
            begun_.assign(sent_.tool_calls.size(), true);
            n_before_ = sent_.reasoning_content.size();
        }
    }
}

void AnswerParser::push(std::string_view text) {
    raw_.append(text);
    token_ends_.push_back(raw_.size());
    for (const char c : text) {
        depth_ += c == '[' || c == '{' ? 1 : 0;
        depth_ -= (c == ']' || c == '}') && depth_ > 0 ? 1 : 0;
        too_deep_ = too_deep_ || (format_->calls && depth_ > k_max_depth);
    }
}

void AnswerParser::update(bool final, std::vector<AnswerPart> & parts) {
    const double start = now_s();
    common_chat_msg message;
    if (parse(final, message)) {
        if (final && format_->calls && message.empty() && sent_.empty()) {
            send_rest(parts); // a call cut short before its name: all that there is
        } else if (final || !message.empty()) {
            n_parsed_ = raw_.size();
            send(message, final, parts);
        }
    } else if (final) {
        send_rest(parts);
    }
    const double end = now_s();
    next_s_ = end + k_time_share * (end - start);
}

bool AnswerParser::parse(bool final, common_chat_msg & message) {
    if (too_deep_) {
        return false;
    }
    try {
        message = common_chat_parse(raw_, !final, format_->parser);
        return true;
    } catch (const std::exception &) {
        return false; // of a partial text that is usual
    }
}

void AnswerParser::send(const common_chat_msg & message, bool final, std::vector<AnswerPart> & parts) {
    send_text(AnswerPart::reasoning, message.reasoning_content, sent_.reasoning_content, final, parts);
    send_text(AnswerPart::content, message.content, sent_.content, final, parts);
    for (size_t index = 0; index < message.tool_calls.size(); ++index) {
        send_call(index, message, final, parts);
    }
    if (final && message.tool_calls.size() < sent_.tool_calls.size()) {
        log_warning("the end of an answer was read as fewer tool calls than its beginning");
    }
}

void AnswerParser::send_text(AnswerPart::Kind kind, const std::string & now, std::string & sent, bool final,
                             std::vector<AnswerPart> & parts) {
    if (!starts_with(now, sent)) {
        // A partial text may end in what turns out to be a mark; the parser usually withholds that, and comes back to it.
        if (final && !starts_with(sent, now)) {
            log_warning("the end of an answer was read as another text than its beginning");
        }
        return;
    }
    if (now.size() > sent.size()) {
        add({ kind, now.substr(sent.size()), 0, {}, {} }, parts);
        sent = now;
    }
}

void AnswerParser::send_call(size_t index, const common_chat_msg & message, bool final,
                             std::vector<AnswerPart> & parts) {
    const auto & now = message.tool_calls[index];
    if (index >= sent_.tool_calls.size()) {
        // A name may still grow into a longer one until something follows it.
        const bool certain = final || !now.arguments.empty() || index + 1 < message.tool_calls.size();
        if (!certain || now.name.empty() || index > sent_.tool_calls.size()) {
            return;
        }
        sent_.tool_calls.push_back({ now.name, {}, now.id.empty() ? make_id_() : now.id });
        add({ AnswerPart::call, {}, static_cast<int32_t>(index), sent_.tool_calls[index].id, now.name }, parts);
    }
    auto & sent = sent_.tool_calls[index];
    if (sent.name != now.name || !starts_with(now.arguments, sent.arguments)) {
        if (final) {
            log_warning("the end of an answer was read as another tool call than its beginning");
        }
        return;
    }
    if (now.arguments.size() > sent.arguments.size()) {
        add({ AnswerPart::call, now.arguments.substr(sent.arguments.size()), static_cast<int32_t>(index), {}, {} }, parts);
        sent.arguments = now.arguments;
    }
}

// The end of the text does not parse. What of it is out already is found by its last piece.
void AnswerParser::send_rest(std::vector<AnswerPart> & parts) {
    size_t from = 0;
    if (!last_.empty()) {
        const size_t found = raw_.rfind(last_, n_parsed_ - std::min(n_parsed_, last_.size()));
        from = found == std::string::npos ? n_parsed_ : found + last_.size();
    }
    if (raw_.find_first_not_of(" \t\r\n", from) == std::string::npos) {
        return;
    }
    log_warning("the model's answer does not have the format of its chat template; " +
                std::to_string(raw_.size() - from) + " bytes of it come as they are");
    if (from < raw_.size()) {
        add({ AnswerPart::content, raw_.substr(from), 0, {}, {} }, parts);
        sent_.content += raw_.substr(from);
    }
}

void AnswerParser::add(AnswerPart part, std::vector<AnswerPart> & parts) {
    last_ = part.text.empty() ? part.name : part.text;
    append_part(parts, std::move(part));
}

int32_t AnswerParser::n_reasoning() const {
    if (sent_.reasoning_content.size() <= n_before_) {
        return 0;
    }
    const std::string reasoning = sent_.reasoning_content.substr(n_before_);
    const size_t found = raw_.find(reasoning);
    // Where the parser joined several blocks, about so much of the text is theirs.
    const size_t end = found == std::string::npos ? std::min(reasoning.size(), raw_.size()) : found + reasoning.size();
    const auto behind = std::lower_bound(token_ends_.begin(), token_ends_.end(), end);
    const auto n = behind - token_ends_.begin() + (behind != token_ends_.end() ? 1 : 0);
    return static_cast<int32_t>(n);
}

} // namespace la

#include "chat/answer.h"

#include "base/clock.h"
#include "log/log_ring.h"
#include "text/space.h"

#include "chat-peg-parser.h"

#include <algorithm>
#include <exception>
#include <random>
#include <set>
#include <variant>

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

// The parsers below `id` in the order in which they read; `visit` says whether to look into one.
template <typename F>
void walk(const common_peg_arena & arena, common_peg_parser_id id, std::set<common_peg_parser_id> & seen, F && visit) {
    if (!seen.insert(id).second || !visit(arena.get(id))) {
        return;
    }
    std::visit(
        [&](const auto & parser) {
            using T = std::decay_t<decltype(parser)>;
            if constexpr (std::is_same_v<T, common_peg_sequence_parser> || std::is_same_v<T, common_peg_choice_parser>) {
                for (const auto child : parser.children) {
                    walk(arena, child, seen, visit);
                }
            } else if constexpr (std::is_same_v<T, common_peg_ref_parser>) {
                walk(arena, arena.get_rule(parser.name), seen, visit);
            } else if constexpr (std::is_same_v<T, common_peg_repetition_parser> ||
                                 std::is_same_v<T, common_peg_rule_parser> || std::is_same_v<T, common_peg_tag_parser> ||
                                 std::is_same_v<T, common_peg_atomic_parser> ||
                                 std::is_same_v<T, common_peg_schema_parser> ||
                                 std::is_same_v<T, common_peg_gbnf_parser> || std::is_same_v<T, common_peg_ac_parser>) {
                walk(arena, parser.child, seen, visit);
            }
        },
        arena.get(id));
}

// Whether the node is part of the message, or ends a call.
bool is_message(const common_peg_ast_node & node) {
    using Builder = common_chat_peg_builder;
    const auto & tag = node.tag;
    if (tag == Builder::TOOL_ARGS) {
        return !node.text.empty() && node.text.front() == '{'; // otherwise made of the parts within
    }
    for (const char * part : { Builder::REASONING, Builder::CONTENT, Builder::TOOL_NAME, Builder::TOOL_ID,
                               Builder::TOOL_ARG_NAME, Builder::TOOL_ARG_VALUE, Builder::TOOL_ARG_STRING_VALUE,
                               Builder::TOOL_ARG_CLOSE, Builder::TOOL_CLOSE }) {
        if (tag == part) {
            return true;
        }
    }
    return false;
}

// Nothing but control tokens' names, as <|end|>: a parser may well not mention those at the very end.
bool is_marks(std::string_view text) {
    while (!text.empty()) {
        if (is_space(text.front())) {
            text.remove_prefix(1);
            continue;
        }
        const size_t end = text.find('>');
        const std::string_view mark = text.substr(0, end);
        if (end == std::string_view::npos || mark.front() != '<' || mark.find('|') == std::string_view::npos ||
            mark.find_first_of(" \t\r\n<", 1) != std::string_view::npos) {
            return false;
        }
        text.remove_prefix(end + 1);
    }
    return true;
}

} // namespace

bool has_late_ids(const common_peg_arena & parser) {
    if (parser.empty()) {
        return false;
    }
    bool arguments = false;
    bool late = false;
    bool early = false;
    std::set<common_peg_parser_id> seen;
    walk(parser, parser.root(), seen, [&](const common_peg_parser_variant & node) {
        if (const auto * tag = std::get_if<common_peg_tag_parser>(&node)) {
            arguments = arguments || tag->tag == common_chat_peg_builder::TOOL_ARGS;
            if (tag->tag == common_chat_peg_builder::TOOL_ID) {
                (arguments ? late : early) = true;
            }
        }
        return true;
    });
    return late && !early;
}

std::vector<std::string> marks_of(const common_peg_arena & parser) {
    std::vector<std::string> marks;
    if (!parser.empty()) {
        std::set<common_peg_parser_id> seen;
        walk(parser, parser.root(), seen, [&](const common_peg_parser_variant & node) {
            if (const auto * until = std::get_if<common_peg_until_parser>(&node)) {
                marks.insert(marks.end(), until->delimiters.begin(), until->delimiters.end());
            }
            return true;
        });
    }
    std::sort(marks.begin(), marks.end());
    marks.erase(std::unique(marks.begin(), marks.end()), marks.end());
    return marks;
}

AnswerParser::AnswerParser(AnswerFormatPtr format, MakeId make_id)
    : format_(std::move(format)),
      make_id_(make_id ? std::move(make_id) : random_id),
      marks_(marks_of(format_->parser.parser)) {
    if (format_->parser.is_continuation) {
        // What the message has already is not said again; but a call that it has begun is handed out whole.
        common_chat_msg start;
        if (parse(raw_, false, start)) {
            start.tool_calls.clear();
            sent_ = std::move(start);
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
    if (!final && running_ != Running::nothing && (run_on(parts) || start < next_s_)) {
        return;
    }
    running_ = Running::nothing;
    common_chat_msg message;
    if (!parse(raw_, final, message) && !(final && parse_trimmed(message))) {
        if (final) {
            send_rest(reach(n_sent_).said, parts);
        }
    } else if (final && format_->calls && message.empty() && sent_.empty()) {
        send_rest(0, parts); // a call cut short before its name: all that there is
    } else if (fits(message)) {
        send(message, final, parts);
        n_sent_ = raw_.size();
        if (final) {
            // Some parsers read as far as they can, and call that a success.
            send_rest(reach(n_sent_).read, parts);
        } else {
            see_whether_running();
        }
    } else if (final) {
        // A partial text may end in what turns out to be a mark; the parser comes back to it, but not from every text.
        log_warning("the end of an answer was read as another message than its beginning");
        send_rest(reach(n_sent_).said, parts);
    }
    const double end = now_s();
    next_s_ = end + k_time_share * (end - start);
}

// What runs goes on; false when what may end it is there. White space waits: some parsers take it for part of the mark behind
// it, and all for none of arguments that are cut short.
bool AnswerParser::run_on(std::vector<AnswerPart> & parts) {
    constexpr size_t k_most_waiting = 256; // looked through again each time
    size_t end = end_of_run();
    if (end != std::string::npos && running_ == Running::arguments) {
        end = end_of_json(end);
    }
    if (end == std::string::npos) {
        return false;
    }
    if (end > n_sent_) {
        const std::string text = raw_.substr(n_sent_, end - n_sent_);
        AnswerPart part = { AnswerPart::content, text, 0, {}, {} };
        if (running_ == Running::content) {
            sent_.content += text;
        } else if (running_ == Running::reasoning) {
            sent_.reasoning_content += text;
            part.kind = AnswerPart::reasoning;
        } else {
            sent_.tool_calls.back().arguments += text;
            part.kind = AnswerPart::call;
            part.index = static_cast<int32_t>(sent_.tool_calls.size()) - 1;
        }
        n_sent_ = end;
        append_part(parts, std::move(part));
    }
    return raw_.size() - n_sent_ <= k_most_waiting;
}

// Up to where no mark is begun and no white space is at the end; npos if a mark is there.
size_t AnswerParser::end_of_run() const {
    size_t end = raw_.size();
    for (size_t at = n_sent_; at < end; ++at) {
        for (const auto & mark : marks_) {
            const size_t n = std::min(mark.size(), raw_.size() - at);
            if (raw_.compare(at, n, mark, 0, n) != 0) {
                continue;
            }
            if (n == mark.size()) {
                return std::string::npos;
            }
            end = at;
            break;
        }
    }
    while (end > n_sent_ && is_space(raw_[end - 1])) {
        --end;
    }
    return end;
}

// How much of the text up to `end` belongs to the arguments, but for half an escape; npos if they end there, or break off.
size_t AnswerParser::end_of_json(size_t end) {
    if (too_deep_) {
        return std::string::npos;
    }
    JsonRun ahead = json_;
    size_t settled = n_sent_;
    for (size_t at = n_sent_; at < end; ++at) {
        if (!ahead.push_open(std::string_view(raw_).substr(at, 1))) {
            return std::string::npos;
        }
        if (ahead.settled()) {
            settled = at + 1;
        }
    }
    if (settled == end) {
        json_ = std::move(ahead);
    } else {
        json_.push_open(std::string_view(raw_).substr(n_sent_, settled - n_sent_));
    }
    return settled;
}

// After a parse of everything: would more of the text be more of the same?
void AnswerParser::see_whether_running() {
    const bool any_mark = !marks_.empty() && marks_.front().empty();
    if (any_mark || raw_.empty() || is_space(raw_.back())) {
        return;
    }
    if (!sent_.tool_calls.empty()) {
        running_ = arguments_run() ? Running::arguments : Running::nothing;
    } else if (sent_.content.empty()) {
        running_ = text_runs(&common_chat_msg::reasoning_content) ? Running::reasoning : Running::nothing;
    } else {
        running_ = text_runs(&common_chat_msg::content) ? Running::content : Running::nothing;
    }
}

bool AnswerParser::text_runs(std::string common_chat_msg::* kind) const {
    constexpr size_t k_enough = 16;
    const std::string & said = sent_.*kind;
    const size_t n_same = std::min({ said.size(), raw_.size(), k_enough });
    if (n_same == 0 || raw_.compare(raw_.size() - n_same, n_same, said, said.size() - n_same, n_same) != 0) {
        return false;
    }
    std::string probe = " Probe: \"a\", [b]\n{1}, c.\n\n- <d> e";
    for (const auto & mark : marks_) {
        probe.erase(std::remove(probe.begin(), probe.end(), mark.front()), probe.end());
    }
    common_chat_msg now;
    return parse(raw_ + probe, false, now) && now.tool_calls.empty() && now.*kind == said + probe;
}

// Whether the arguments are the very text at the end, an object that has not ended. A few bytes of it could be so by chance.
bool AnswerParser::arguments_run() {
    constexpr size_t k_enough = 16;
    const std::string & said = sent_.tool_calls.back().arguments;
    if (said.size() < k_enough || said.size() > raw_.size() ||
        raw_.compare(raw_.size() - said.size(), said.size(), said) != 0) {
        return false;
    }
    json_ = JsonRun();
    return json_.push_open(said) && json_.settled();
}

bool AnswerParser::parse(const std::string & text, bool final, common_chat_msg & message) const {
    if (too_deep_) {
        return false;
    }
    try {
        message = common_chat_parse(text, !final, format_->parser);
        return true;
    } catch (const std::exception &) {
        return false; // of a partial text that is usual
    }
}

// Some parsers take no white space behind calls, as a template that ends its turns on a line of their own has it.
bool AnswerParser::parse_trimmed(common_chat_msg & message) const {
    const size_t end = raw_.find_last_not_of(" \t\r\n") + 1;
    return end != 0 && end != raw_.size() && parse(raw_.substr(0, end), true, message) && !message.tool_calls.empty();
}

// Whether all that is out already is the beginning of `message`.
bool AnswerParser::fits(const common_chat_msg & message) const {
    if (!starts_with(message.reasoning_content, sent_.reasoning_content) || !starts_with(message.content, sent_.content) ||
        message.tool_calls.size() < sent_.tool_calls.size()) {
        return false;
    }
    for (size_t i = 0; i < sent_.tool_calls.size(); ++i) {
        const auto & now = message.tool_calls[i];
        const auto & sent = sent_.tool_calls[i];
        if (now.name != sent.name || !starts_with(now.arguments, sent.arguments)) {
            return false;
        }
    }
    return true;
}

void AnswerParser::send(const common_chat_msg & message, bool final, std::vector<AnswerPart> & parts) {
    send_text(AnswerPart::reasoning, message.reasoning_content, sent_.reasoning_content, parts);
    send_text(AnswerPart::content, message.content, sent_.content, parts);
    for (size_t index = 0; index < message.tool_calls.size(); ++index) {
        if (!send_call(index, message, final, parts)) {
            break;
        }
    }
}

void AnswerParser::send_text(AnswerPart::Kind kind, const std::string & now, std::string & sent,
                             std::vector<AnswerPart> & parts) {
    if (now.size() > sent.size()) {
        append_part(parts, { kind, now.substr(sent.size()), 0, {}, {} });
        sent = now;
    }
}

bool AnswerParser::send_call(size_t index, const common_chat_msg & message, bool final,
                             std::vector<AnswerPart> & parts) {
    const auto & now = message.tool_calls[index];
    const auto at = static_cast<int32_t>(index);
    if (index >= sent_.tool_calls.size()) {
        // A name may still grow into a longer one until something follows it.
        const bool named = !now.arguments.empty() && (!format_->late_ids || !now.id.empty());
        const bool certain = final || named || index + 1 < message.tool_calls.size();
        if (!certain || now.name.empty()) {
            return false;
        }
        sent_.tool_calls.push_back({ now.name, {}, now.id.empty() ? make_id_() : now.id });
        append_part(parts, { AnswerPart::call, {}, at, sent_.tool_calls[index].id, now.name });
    }
    auto & sent = sent_.tool_calls[index];
    if (now.arguments.size() > sent.arguments.size()) {
        append_part(parts, { AnswerPart::call, now.arguments.substr(sent.arguments.size()), at, {}, {} });
        sent.arguments = now.arguments;
    }
    return true;
}

// The text from there on is not in the message.
void AnswerParser::send_rest(size_t from, std::vector<AnswerPart> & parts) {
    if (is_marks(std::string_view(raw_).substr(from))) {
        return;
    }
    log_warning("the model's answer does not have the format of its chat template; " +
                std::to_string(raw_.size() - from) + " bytes of it come as they are");
    send_text(AnswerPart::content, sent_.content + raw_.substr(from), sent_.content, parts);
}

AnswerParser::Reach AnswerParser::reach(size_t n_bytes) const {
    Reach reach = { n_bytes, n_bytes };
    if (n_bytes == 0 || format_->parser.parser.empty()) {
        return reach;
    }
    const size_t n_prompt = format_->parser.generation_prompt.size();
    common_peg_parse_context context(format_->parser.generation_prompt + raw_.substr(0, n_bytes),
                                     COMMON_PEG_PARSE_FLAG_LENIENT);
    const auto result = format_->parser.parser.parse(context);
    size_t end = n_prompt;
    size_t read = std::max(result.end, n_prompt);
    size_t n_calls = 0;
    context.ast.visit(result, [&](const common_peg_ast_node & node) {
        if (node.rule == "unsolicited") {
            read = std::min(read, node.start); // gpt-oss: a call of a tool that was not offered, which upstream drops
        }
        n_calls += node.tag == common_chat_peg_builder::TOOL_NAME ? 1 : 0;
        if (n_calls <= sent_.tool_calls.size() && is_message(node)) {
            end = std::max(end, node.end);
        }
    });
    reach.said = end - n_prompt;
    reach.read = read - n_prompt;
    return reach;
}

int32_t AnswerParser::n_tokens(size_t from, size_t to) const {
    to = std::min(to, raw_.size()); // behind it: the one that ended the answer
    size_t start = 0;
    int32_t n = 0;
    for (const size_t end : token_ends_) {
        n += start >= from && start < to ? 1 : 0;
        start = end;
    }
    return n;
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

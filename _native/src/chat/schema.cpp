#include "chat/schema.h"

#include "base/error.h"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace la {

namespace {

void replace_all(std::string & text, std::string_view from, std::string_view to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
}

} // namespace

std::string with_prefix(const std::string & grammar, const char * prefix) {
    const auto is_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; };
    std::string out;
    for (size_t at = 0; at < grammar.size();) {
        const char c = grammar[at];
        size_t end = at + 1;
        if (c == '"' || c == '[') {
            const char close = c == '"' ? '"' : ']';
            while (end < grammar.size() && grammar[end] != close) {
                end += grammar[end] == '\\' ? 2 : 1;
            }
            end = std::min(end + 1, grammar.size());
        } else if (c == '{') {
            end = std::min(grammar.find('}', at), grammar.size() - 1) + 1;
        } else if (is_name(c)) {
            while (end < grammar.size() && is_name(grammar[end])) {
                ++end;
            }
            out += prefix;
        }
        out.append(grammar, at, end - at);
        at = end;
    }
    return out;
}

std::string tighten_json_rules(std::string grammar) {
    replace_all(grammar, R"("u" [0-9a-fA-F]{4})", R"("u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))");
    replace_all(grammar, R"(([eE] [-+]? integral-part)?)", R"(([eE] [-+]? [0-9]{1,2})?)");
    // The key of an additional property: `["] ( [a] ... | [^"a] char* )`. Whatever differs from the known keys may begin
    // neither an escape nor be a control character. An escape there could also spell a known key anew.
    size_t from = 0;
    while ((from = grammar.find(R"(::= ["] ( )", from)) != std::string::npos) {
        const size_t end = std::min(grammar.find('\n', from), grammar.size());
        std::string rule = grammar.substr(from, end - from);
        replace_all(rule, R"([^")", R"([^"\\\x7F\x00-\x1F)");
        grammar.replace(from, end - from, rule);
        from += rule.size();
    }
    return grammar;
}

std::string join_calls(std::string text, const std::string & calls) {
    for (const char * rule : { "response-format ::= ", "response-format-schema ::= " }) {
        const size_t at = text.compare(0, std::strlen(rule), rule) == 0 ? 0 : text.find(std::string("\n") + rule);
        if (at == std::string::npos || calls.empty()) {
            continue;
        }
        const size_t body = text.find("::= ", at) + 4;
        const size_t end = std::min(text.find('\n', body), text.size());
        text = text.substr(0, body) + "(" + text.substr(body, end - body) + ") | calls-root" + text.substr(end);
        return text + (text.back() == '\n' ? "" : "\n") + with_prefix(calls, "calls-");
    }
    throw Error(LA_ERR_UNSUPPORTED, "response_format beside tools is not supported by this model's chat template",
                "response_format");
}

std::string without_free_text(std::string grammar) {
    replace_all(grammar, "any ::= preamble | analysis\n", "any ::= analysis\n"); // gpt-oss
    size_t at = grammar.compare(0, 9, "root ::= ") == 0 ? 0 : grammar.find("\nroot ::= ");
    const size_t end = at == std::string::npos ? at : std::min(grammar.find('\n', at + 1), grammar.size());
    while (at != std::string::npos && (at = grammar.find(" until-", at)) < end) {
        size_t behind = at + 7;
        while (behind < end && std::isdigit(static_cast<unsigned char>(grammar[behind]))) {
            ++behind;
        }
        if (behind < end && grammar[behind] == '?') {
            return grammar.erase(at, behind + 1 - at);
        }
        at = behind;
    }
    return grammar;
}

std::string with_a_call(std::string grammar) {
    static const std::string name = "tool-call-root ::= ";
    const size_t at = grammar.compare(0, name.size(), name) == 0 ? 0 : grammar.find("\n" + name);
    if (at == std::string::npos) {
        return grammar;
    }
    const size_t end = std::min(grammar.find('\n', at + 1), grammar.size());
    return grammar[end - 1] == '?' ? grammar.erase(end - 1, 1) : grammar;
}

std::string count_calls(std::string grammar, bool parallel) {
    for (const char * repeated : { "tool-calls ::= (tool-call? space)+\n", "tool-calls ::= (tool-call space)+\n" }) {
        replace_all(grammar, repeated,
                    parallel ? "tool-calls ::= (tool-call space)+\n" : "tool-calls ::= tool-call space\n");
    }
    return grammar;
}

std::string think_then(const std::string & thinking, const std::vector<std::string> & values) {
    std::string root = thinking.empty() ? "root ::= (" : "root ::= thinking-root (";
    std::string rules = thinking.empty() ? "" : with_prefix(thinking, "thinking-") + "\n";
    for (size_t i = 0; i < values.size(); ++i) {
        const std::string prefix = "value" + std::to_string(i) + "-";
        root += (i > 0 ? " | " : "") + prefix + "root";
        rules += with_prefix(values[i], prefix.c_str()) + "\n";
    }
    return root + ")\n" + rules;
}

std::string put_answer(std::string grammar, const std::string & placeholder, const std::string & answer) {
    const std::string literal = "\"\\\"" + placeholder + "\\\"\"";
    if (placeholder.empty() || grammar.find(literal) == std::string::npos) {
        return grammar;
    }
    replace_all(grammar, literal, "answer-root");
    return grammar + (grammar.back() == '\n' ? "" : "\n") + with_prefix(answer, "answer-");
}

} // namespace la

#include "chat/schema.h"

#include "base/error.h"

#include "json-schema-to-grammar.h"
#include "json.h"

#include <exception>

namespace la {

namespace {

void replace_all(std::string & text, std::string_view from, std::string_view to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
}

} // namespace

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

std::string schema_grammar(std::string_view schema) {
    try {
        return tighten_json_rules(json_schema_to_grammar(common_json::parse(std::string(schema)), true));
    } catch (const std::exception & e) {
        throw Error(LA_ERR_GRAMMAR, std::string("response_format: the schema cannot be converted: ") + e.what(),
                    "response_format");
    }
}

} // namespace la

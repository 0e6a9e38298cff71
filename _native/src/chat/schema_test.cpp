#include "chat/schema.h"

#include "base/error.h"
#include "testing/check.h"

using namespace la;

static bool contains(const std::string & text, const char * part) {
    return text.find(part) != std::string::npos;
}

TEST(three_rules_are_tightened) {
    const auto text = schema_grammar(R"({"type": "object", "properties": {"ab": {"type": "number"}, "c": {"type": "string"}},
                                         "additionalProperties": true})");
    CHECK(contains(text, R"("u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))"));
    CHECK(contains(text, R"([eE] [-+]? [0-9]{1,2})"));
    CHECK(contains(text, R"(::= ["] ( )"));
    CHECK(contains(text, R"([^"\\\x7F\x00-\x1Fac] char*)"));
    CHECK(!contains(text, R"([^"a)"));
}

TEST(white_space_is_bounded) {
    const auto text = schema_grammar(R"({"type": "object"})");
    CHECK(contains(text, "space ::= | \" \" | \"\\n\"{1,2} [ \\t]{0,20}\n"));
}

TEST(a_schema_that_cannot_be_converted_names_the_parameter) {
    for (const char * schema : { R"({"type": "strnig"})", R"({"$ref": "#/nowhere"})", "[]", "{" }) {
        try {
            schema_grammar(schema);
            CHECK(false);
        } catch (const Error & e) {
            CHECK(e.status == LA_ERR_GRAMMAR);
            CHECK(e.param == "response_format");
        }
    }
}

TEST_MAIN

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

TEST(grammars_are_joined_by_their_roots) {
    const auto joined = think_then("root ::= \"<t>\" [^-a]* end\nend ::= \"</t>\"\n", { "root ::= \"a-b\"{1,2}\n", "root ::= x\nx ::= [x]\n" });
    CHECK(contains(joined, "root ::= thinking-root (value0-root | value1-root)\n"));
    CHECK(contains(joined, "thinking-root ::= \"<t>\" [^-a]* thinking-end\n"));
    CHECK(contains(joined, "value0-root ::= \"a-b\"{1,2}\n"));
    CHECK(contains(joined, "value1-root ::= value1-x\nvalue1-x ::= [x]\n"));
    CHECK(contains(think_then("", { "root ::= \"a\"" }), "root ::= (value0-root)\n"));
    const auto both = join_calls("response-format ::= x | y\nroot ::= response-format\nx ::= \"x\"\ny ::= \"y\"\n", "root ::= \"call\"\n");
    CHECK(contains(both, "response-format ::= (x | y) | calls-root\n"));
    CHECK(contains(both, "calls-root ::= \"call\"\n"));
    CHECK(without_free_text("a ::= until-1?\nroot ::= \"p\" space until-18? call\n") ==
          "a ::= until-1?\nroot ::= \"p\" space call\n");
}

TEST_MAIN

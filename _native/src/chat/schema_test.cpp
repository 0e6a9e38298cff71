#include "chat/schema.h"

#include "testing/check.h"

using namespace la;

static bool contains(const std::string & text, const char * part) {
    return text.find(part) != std::string::npos;
}

TEST(a_grammar_of_calls_has_one) {
    CHECK(with_a_call("root ::= tool-call-root\ntool-call-root ::= (call more*)?\ncall ::= \"a\"?\n") ==
          "root ::= tool-call-root\ntool-call-root ::= (call more*)\ncall ::= \"a\"?\n");
    CHECK(with_a_call("tool-call-root ::= call?") == "tool-call-root ::= call");
    CHECK(with_a_call("root ::= \"a\"?") == "root ::= \"a\"?");
}

TEST(calls_are_as_many_as_were_asked_for) {
    const std::string lazy = "root ::= tool-calls\ntool-calls ::= (tool-call? space)+\nspace ::= \" \"?\n";
    const std::string required = "root ::= tool-calls\ntool-calls ::= (tool-call space)+\nspace ::= \" \"?\n";
    CHECK(count_calls(lazy, true) == required);
    CHECK(count_calls(required, true) == required);
    for (const auto & grammar : { lazy, required }) {
        CHECK(count_calls(grammar, false) == "root ::= tool-calls\ntool-calls ::= tool-call space\nspace ::= \" \"?\n");
    }
}

TEST(three_rules_are_tightened) {
    const auto text = tighten_json_rules(R"(char ::= [\\] (["\\bfnrt] | "u" [0-9a-fA-F]{4})
k ::= ["] ( [a] ([b] char+ | [^"b] char*) | [^"ac] char* )? ["]
number ::= ("-"? integral-part) ([eE] [-+]? integral-part)?
)");
    CHECK(contains(text, R"("u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))"));
    CHECK(contains(text, R"([eE] [-+]? [0-9]{1,2})"));
    CHECK(contains(text, R"([^"\\\x7F\x00-\x1Fac] char*)"));
    CHECK(!contains(text, R"([^"a)"));
}

TEST(an_answer_takes_its_place) {
    const auto text = put_answer("root ::= \"<\" (\"\\\"#answer\\\"\") \">\"\n", "#answer", "root ::= x\nx ::= [a]\n");
    CHECK(text == "root ::= \"<\" (answer-root) \">\"\nanswer-root ::= answer-x\nanswer-x ::= [a]\n");
    CHECK(put_answer("root ::= \"a\"\n", "#answer", "root ::= \"b\"\n") == "root ::= \"a\"\n");
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
    CHECK(without_free_text("any ::= preamble | analysis\nroot ::= any* call\n") == "any ::= analysis\nroot ::= any* call\n");
}

TEST_MAIN

#include "base/error.h"
#include "sampling/grammar_limits.h"
#include "testing/check.h"

#include <string>

namespace {

bool passes(const std::string & grammar) {
    try {
        la::check_grammar_limits(grammar);
        return true;
    } catch (const la::Error & e) {
        CHECK(e.status == LA_ERR_GRAMMAR && e.param == "grammar");
        return false;
    }
}

} // namespace

TEST(ordinary_grammars_pass) {
    CHECK(passes("root ::= \"yes\" | \"no\""));
    CHECK(passes("root ::= item{1,100} # a comment with ((( and {9999}\nitem ::= [a-z]+ \" \" (\"(\" | [^\"])* .{3}\n"));
    CHECK(passes("root ::= [0-9]{1,2000}"));
    CHECK(passes(""));
}

TEST(brackets_in_literals_do_not_nest) {
    CHECK(passes("root ::= \"" + std::string(1000, '(') + "\" [" + std::string(1000, '(') + "]"));
}

TEST(deep_groups_are_refused) {
    CHECK(passes("root ::= " + std::string(200, '(') + "\"a\"" + std::string(200, ')')));
    CHECK(!passes("root ::= " + std::string(201, '(') + "\"a\"" + std::string(201, ')')));
    CHECK(!passes("root ::= " + std::string(100000, '(')));
}

TEST(a_long_literal_many_times_is_refused) {
    CHECK(!passes("root ::= \"" + std::string(10000, 'a') + "\"{2000}"));
}

TEST(many_large_repetitions_are_refused) {
    std::string grammar = "root ::= ";
    for (int i = 0; i < 200; ++i) {
        grammar += "[a-z]{0,2000} ";
    }
    CHECK(!passes(grammar));
}

TEST(absurd_numbers_do_not_overflow) {
    CHECK(!passes("root ::= \"a\"{99999999999999999999999999}"));
}

TEST(a_repetition_must_not_end_before_it_begins) {
    CHECK(!passes("root ::= \"a\"{5,2}"));
    CHECK(!passes("root ::= \"a\"{ 5 , 2 }"));
    CHECK(passes("root ::= \"a\"{5,}"));
    CHECK(passes("root ::= \"a\"{5,5} \"b\"{0,0}"));
}

TEST(unclosed_text_ends) {
    CHECK(passes("root ::= \"abc"));
    CHECK(passes("root ::= [abc"));
    CHECK(passes("root ::= \"a\"{3"));
    CHECK(passes("root ::= \"a\\"));
}

TEST_MAIN

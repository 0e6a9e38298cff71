#include "chat/typed.h"

#include "testing/check.h"

#include <string>

using namespace la;

static std::string typed(const std::string & property) {
    std::vector<common_chat_tool> tools = { { "f", "", R"({"type":"object","properties":{"a":)" + property + "}}" } };
    const std::string before = tools[0].parameters;
    const bool changed = give_types(tools);
    CHECK(changed == (tools[0].parameters != before));
    const std::string head = R"({"type":"object","properties":{"a":)";
    return tools[0].parameters.substr(head.size(), tools[0].parameters.size() - head.size() - 2);
}

TEST(what_has_a_type_stays) {
    for (const char * schema : { R"({"type":"string"})", R"({"type":"array","items":{"type":"integer"}})", "true" }) {
        CHECK(typed(schema) == schema);
    }
}

TEST(a_type_is_that_of_the_values) {
    CHECK(typed(R"({"enum":["C","F"]})") == R"({"enum":["C","F"],"type":"string"})");
    CHECK(typed(R"({"const":1})") == R"({"const":1,"type":"integer"})");
    CHECK(typed(R"({"anyOf":[{"enum":[1.5]},{"type":"string"}]})") ==
          R"({"anyOf":[{"enum":[1.5]},{"type":"string"}],"type":"number"})");
    CHECK(typed(R"({"type":"array","items":{"const":true}})") ==
          R"({"type":"array","items":{"const":true,"type":"boolean"}})");
}

TEST(several_types_become_alternatives) {
    CHECK(typed(R"({"type":["null","string"]})") == R"({"type":"string","anyOf":[{"type":"null"},{"type":"string"}]})");
    CHECK(typed("{}") == R"({"anyOf":[{"type":"string"},{"type":"number"},{"type":"boolean"},{"type":"null"},{"type":"array"},{"type":"object"}],"type":"string"})");
}

TEST_MAIN

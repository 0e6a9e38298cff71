#include "chat/template.h"

#include "base/error.h"
#include "testing/check.h"

#include <string>

using namespace la;

namespace {

std::string numbered(size_t i, size_t padding = 0) {
    return "{# " + std::to_string(i) + std::string(padding, ' ') + " #}{{ messages[0].content }}";
}

std::string refusal(const std::string & source) {
    TemplateCache cache;
    try {
        cache.get(nullptr, source);
    } catch (const Error & e) {
        return e.status == LA_ERR_INVALID && e.param == "chat_template" ? e.what() : "not as it should be refused";
    }
    return "";
}

bool contains(const std::string & text, const std::string & part) {
    return text.find(part) != std::string::npos;
}

} // namespace

TEST(the_same_text_is_compiled_once) {
    TemplateCache cache;
    const auto first = cache.get(nullptr, numbered(0));
    CHECK(cache.get(nullptr, numbered(0)) == first);
    CHECK(cache.get(nullptr, numbered(1)) != first);
}

TEST(the_template_used_longest_ago_goes_first) {
    TemplateCache cache;
    std::weak_ptr<const ChatTemplate> kept = cache.get(nullptr, numbered(0));
    std::weak_ptr<const ChatTemplate> gone = cache.get(nullptr, numbered(1));
    for (size_t i = 2; i <= TemplateCache::k_max_entries; ++i) {
        cache.get(nullptr, numbered(0));
        cache.get(nullptr, numbered(i));
    }
    CHECK(!kept.expired());
    CHECK(gone.expired());
}

TEST(large_templates_are_kept_up_to_a_number_of_bytes) {
    constexpr size_t k_padding = 200 * 1024;
    TemplateCache cache;
    std::weak_ptr<const ChatTemplate> first = cache.get(nullptr, numbered(0, k_padding));
    for (size_t i = 1; i <= TemplateCache::k_max_source_bytes / k_padding; ++i) {
        CHECK(!first.expired());
        cache.get(nullptr, numbered(i, k_padding));
    }
    CHECK(first.expired());
}

TEST(a_template_says_where_answers_end) {
    const std::string text = "{{ messages[0].content }}";
    TemplateCache cache;
    CHECK(cache.get(nullptr, text)->stops.empty());
    const std::vector<std::string> stops = { "###", "\n" };
    CHECK(cache.get(nullptr, "{#- stop: [\"###\", \"\\n\"] -#}" + text)->stops == stops);
    CHECK(cache.get(nullptr, "{# stop: [\"###\"] #}" + text)->stops.empty());
    for (const char * list : { "###", "\"###\"", "[1]", "[\"\"]", "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]" }) {
        CHECK(contains(refusal("{#- stop: " + std::string(list) + " -#}" + text), "stop in its first comment"));
    }
    CHECK(contains(refusal("{#- stop: [\"#\"]"), "does not end"));
}

TEST(what_cannot_be_a_template_is_refused_by_name) {
    CHECK(contains(refusal(""), "empty"));
    CHECK(contains(refusal("{% for %}"), "cannot be used"));
    CHECK(contains(refusal("{{ " + std::string(1000, '(') + "1" + std::string(1000, ')') + " }}"), "deeper than 400"));
    CHECK(contains(refusal(std::string(300 * 1024, ' ')), "the limit is"));
}

TEST_MAIN

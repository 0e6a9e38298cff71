// Hostile templates against upstream's engine as it is compiled here (llama.cpp/patches).
#include "chat/template_budget.h"

#include "testing/check.h"

#include "chat.h" // common's

#include <chrono>
#include <string>

using namespace la;

namespace {

std::string repeated(const std::string & text, size_t n) {
    std::string out;
    out.reserve(text.size() * n);
    for (size_t i = 0; i < n; ++i) {
        out += text;
    }
    return out;
}

// What a template gives, or "!" and why it does not.
std::string rendered(const std::string & source) {
    const TemplateBudget budget;
    try {
        jinja::lexer lexer;
        const auto program = jinja::parse_from_tokens(lexer.tokenize(source));
        jinja::context context(source);
        const common_json messages = common_json::parse(R"([{"role": "user", "content": "Hi"}])");
        jinja::global_from_json(context, common_json{ { "messages", messages } }, true);
        jinja::runtime runtime(context);
        return jinja::runtime::gather_string_parts(runtime.execute(program))->as_string().str();
    } catch (const std::exception & e) {
        return "!" + (budget.reason().empty() ? e.what() : budget.reason());
    }
}

bool ends_with_error(const std::string & source, const std::string & part) {
    const auto start = std::chrono::steady_clock::now();
    const std::string result = rendered(source);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const bool ok = result.substr(0, 1) == "!" && result.find(part) != std::string::npos;
    if (!ok) {
        std::printf("    expected %s, got %.300s\n", part.c_str(), result.c_str());
    }
    if (took.count() > 2 * TemplateLimits::k_seconds) {
        std::printf("    %.1f s\n", took.count());
    }
    return ok && took.count() < 3 * TemplateLimits::k_seconds;
}

} // namespace

TEST(ordinary_templates_are_not_changed) {
    CHECK(rendered("{% for m in messages %}{{ m.role }}: {{ m['content'] | upper }}{% endfor %}") == "user: HI");
    CHECK(rendered("{% set ns = namespace(n=0) %}{% for i in range(1000) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}") ==
          "499500");
    CHECK(rendered("{{ [3, 1, 2] | sort | join(',') }} {{ 'abcdef'[::-2] }} {{ [1, 2, 3][1::9223372036854775807] | tojson }}") ==
          "1,2,3 fdb [2]");
    CHECK(rendered("{{ 9 is divisibleby 3 }} {{ 'a b c'.split(' ') | length }} {{ {'a': [1, {'b': 2}]} | tojson }}") ==
          "True 3 {\"a\": [1, {\"b\": 2}]}");
    CHECK(rendered(repeated("(", 90) + "1" + repeated(")", 90)) == repeated("(", 90) + "1" + repeated(")", 90));
    CHECK(rendered("{{ " + repeated("(", 90) + "1" + repeated(")", 90) + " }}") == "1");
}

TEST(loops_end) {
    const std::string loop = "{% for i in range(300) %}{% for j in range(300) %}{% for k in range(300) %}";
    const std::string end = "{% endfor %}{% endfor %}{% endfor %}";
    CHECK(ends_with_error(loop + end, "more work"));
    CHECK(ends_with_error(loop + "{{ i }}" + end, "more work"));
    CHECK(ends_with_error("{% for i in range(1000000000000) %}{% endfor %}", "holds more than"));
    CHECK(ends_with_error("{% for i in range(9223372036854775806, 9223372036854775807, 2) %}{{ i }}{% endfor %}", ""));
    CHECK(ends_with_error("{% set ns = namespace(l=[1]) %}{% for i in range(64) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
                          "more"));
}

TEST(recursion_ends) {
    CHECK(ends_with_error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nests deeper"));
    CHECK(ends_with_error("{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
                          ""));
    CHECK(ends_with_error("{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}", "nests deeper"));
}

TEST(syntax_does_not_nest_without_end) {
    constexpr size_t n = 1500; // each in one block
    CHECK(ends_with_error("{{ " + repeated("(", n) + "1" + repeated(")", n) + " }}", "nests deeper"));
    CHECK(ends_with_error("{{ " + repeated("[", n) + repeated("]", n) + " }}", "nests deeper"));
    CHECK(ends_with_error("{{ " + repeated("not ", n) + "1 }}", "nests deeper"));
    CHECK(ends_with_error("{{ " + repeated("- ", n) + "1 }}", "nests deeper"));
    CHECK(ends_with_error("{{ a" + repeated("()", n) + " }}", "nests deeper"));
    CHECK(ends_with_error("{{ " + repeated("1 if 1 else ", n / 2) + "1 }}", "nests deeper"));
    CHECK(ends_with_error("{{ 1" + repeated("+1", 5000) + " }}", "block of more than"));
    CHECK(ends_with_error("{{ 1" + repeated("|int", 5000) + " }}", "block of more than"));
    CHECK(ends_with_error("{{ a" + repeated(".b", 5000) + " }}", "block of more than"));
    CHECK(ends_with_error("{{ 1" + repeated("+1", 1500) + " }}", "nests deeper")); // when it runs
    CHECK(ends_with_error(repeated("{% if 1 %}", 9000) + repeated("{% endif %}", 9000), "nests deeper"));
    CHECK(ends_with_error("{% if 1 %}" + repeated("{% elif 1 %}", 9000) + "{% endif %}", "nests deeper"));
    CHECK(ends_with_error(repeated("{% if 1 %}", 50000) + repeated("{% endif %}", 50000), "bytes long"));
    CHECK(ends_with_error("{{ " + repeated("(", 100000) + "1" + repeated(")", 100000) + " }}", "block of more than"));
    CHECK(ends_with_error(repeated("\r\n", 500000), "bytes long"));
}

TEST(values_do_not_nest_without_end) {
    const std::string chain = "{% set ns = namespace(a=[]) %}{% for i in range(100000) %}{% set ns.a = [ns.a] %}{% endfor %}";
    CHECK(rendered(chain) == ""); // and is taken down again
    CHECK(ends_with_error(chain + "{{ ns.a | string }}", "nests deeper"));
    CHECK(ends_with_error(chain + "{{ ns.a | tojson }}", "nests deeper"));
    CHECK(ends_with_error(chain + "{{ ns.a }}", "nests deeper"));
    CHECK(rendered("{% set ns = namespace(a={}) %}{% for i in range(100000) %}{% set ns.a = {'b': ns.a} %}{% endfor %}") == "");
    CHECK(rendered("{% set ns = namespace(a=1) %}{% for i in range(50000) %}{% set ns.a = [[ns.a].append] %}{% endfor %}") == "");
    const std::string tuples = "{% set ns = namespace(a=(1, 1)) %}{% for i in range(100) %}{% set ns.a = (ns.a, ns.a) %}{% endfor %}";
    CHECK(ends_with_error(tuples + "{% set d = {ns.a: 1} %}", "more work"));
    CHECK(ends_with_error(tuples + "{{ ns.a == ns.a }}", "more work"));
    CHECK(ends_with_error(tuples + "{{ ns.a | string }}", "more work"));
    CHECK(ends_with_error(tuples + "{{ ns.a | tojson }}", "more work"));
}

// LeakSanitizer watches.
TEST(values_that_hold_themselves_are_freed) {
    CHECK(rendered("{% set ns = namespace() %}{% set ns.ns = ns %}ok") == "ok");
    CHECK(rendered("{% set l = [] %}{% set x = l.append(l) %}ok") == "ok");
    CHECK(rendered("{% set l = [] %}{% set ns = namespace(l=l) %}{% set x = l.append(ns) %}{% set y = l.append(l) %}ok") == "ok");
    CHECK(ends_with_error("{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns | tojson }}", "nests deeper"));
    CHECK(ends_with_error("{% set l = [] %}{% set x = l.append(l) %}{{ l }}", "nests deeper"));
    CHECK(rendered("{% set l = [] %}{% set x = l.append(a=l) %}{% set d = {l[0]: 1} %}ok") == "ok");
    CHECK(rendered("{% macro keep() %}{% set ns.f = caller %}{% endmacro %}{% set ns = namespace(f=1) %}"
                   "{% for i in range(100) %}{% call keep() %}{% endcall %}{% endfor %}ok") == "ok");
}

TEST(texts_do_not_grow_without_end) {
    CHECK(ends_with_error("{{ 'x' * 1000000000000 }}", "more text"));
    CHECK(ends_with_error("{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
                          "more text"));
    CHECK(ends_with_error("{% set s = 'x' * 100000 %}{{ s | replace('x', s) }}", "more"));
    CHECK(ends_with_error("{% set s = 'x' * 100000 %}{{ s | replace('', s) }}", "more text"));
    CHECK(ends_with_error("{{ 'a' | indent(100000000000) }}", "more text"));
    CHECK(ends_with_error("{{ 'a' | indent(-1) }}", "more text"));
    CHECK(ends_with_error("{{ ('a\n' * 1000) | indent(1000000) }}", "more text"));
    CHECK(ends_with_error("{{ range(1000) | list | join('x' * 1000000) }}", "more text"));
    CHECK(ends_with_error("{{ [[1]] | tojson(indent=1000000000) }}", "at most 64"));
    CHECK(ends_with_error("{% set ns = namespace(l=[]) %}{% set s = 'x' * 10000 %}{% for i in range(100000) %}"
                          "{% set x = ns.l.append(s | upper) %}{% endfor %}", "more text"));
    CHECK(ends_with_error("{% set x = ('a ' * 400000).split(' ') %}", ""));
    CHECK(ends_with_error("{% set x = (' ' * 400000) | trim %}{{ x }}{{ 1 is divisibleby 0 }}", ""));
}

TEST(nothing_traps) {
    CHECK(ends_with_error("{{ 1 is divisibleby 0 }}", "divisor is 0"));
    CHECK(rendered("{{ -9223372036854775807 is divisibleby(-1) }}") == "True");
    // An order in which each of three is less than the next.
    const std::string cyclic = "{{ (" + repeated("[9, '9x', 10, '1', 100, '99x'] + ", 100) + "[1]) | sort | length }}";
    CHECK(rendered(cyclic) == "601");
    CHECK(rendered("{{ {'a': 9, 'b': '9x', 'c': 10} | dictsort(by='value') | length }}") == "3");
}

TEST(ways_out_of_the_sandbox_are_refused) {
    CHECK(ends_with_error("{{ ''.__class__ }}", "not safe"));
    CHECK(ends_with_error("{{ ''['__class__']['__mro__'] }}", "not safe"));
    CHECK(ends_with_error("{{ x.__init__.__globals__ }}", "not safe"));
    CHECK(ends_with_error("{{ ''|attr('_' ~ '_class__') }}", "attr"));
    CHECK(ends_with_error("{% import 'os' as os %}", "import"));
    CHECK(ends_with_error("{% from 'os' import path %}", "from"));
    CHECK(ends_with_error("{% include '/etc/passwd' %}", "include"));
    CHECK(ends_with_error("{% extends 'base' %}", "extends"));
    CHECK(rendered("{{ self }}{{ cycler }}{{ lipsum }}{{ request }}{{ config }}") == "");
}

TEST(bytes_that_are_no_text_pass_or_are_refused) {
    rendered(std::string("\0{{ '\0' }}{%", 11));
    rendered("\xff\xfe{{ '\xc3' | upper | tojson }}{{ '\xed\xa0\x80' | tojson(ensure_ascii=true) }}");
    rendered("{{ '" + repeated("\xf0\x9f", 1000) + "'[1] | tojson(ensure_ascii=true) }}");
    CHECK(ends_with_error("{{ 99999999999999999999999999 }}", ""));
    CHECK(ends_with_error("{{ '\\", ""));
    CHECK(ends_with_error("{#", ""));
    CHECK(ends_with_error("{{", ""));
}

TEST_MAIN

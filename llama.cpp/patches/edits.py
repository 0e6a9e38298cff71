"""The limits that upstream's template engine gets: which line goes where.

Each edit names a file of `common/`, a short text that stands in it exactly `count` times, and lines of ours that go
before it, after it, or in its place. What they call is defined in `_native/src/chat/template_budget.h`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """Lines of ours for each of the `count` places where `anchor` stands in `file`."""

    file: str
    anchor: str
    where: str  # "before", "after", "instead"
    lines: str
    count: int = 1


VALUE_H = "jinja/value.h"
VALUE = "jinja/value.cpp"
RUNTIME = "jinja/runtime.cpp"
RUNTIME_H = "jinja/runtime.h"
PARSER = "jinja/parser.cpp"
STRING = "jinja/string.cpp"

NEST = "const la::TemplateNest la_nest;"
WALK = "const la::TemplateNest la_nest(200);"
HASH_NEST = "const la::SoftTemplateNest la_nest; if (!la_nest) { return hasher(typeid(*this)); }"


def work(n: str) -> str:
    return f"la::TemplateBudget::work({n});"


def text(n: str) -> str:
    return f"la::TemplateBudget::text({n});"


# Where everything passes: each statement and expression that runs, each level of the parser.
STEPS = (
    Edit(RUNTIME, "value statement::execute(context & ctx) const {", "after", "const la::TemplateNest la_nest(100);"),
    Edit("jinja/lexer.cpp", "lexer_result lexer::tokenize(const std::string & source) {", "after",
         "la::TemplateBudget::check_source(source.size());"),
    Edit(PARSER, "program parse_from_tokens(const lexer_result & lexer_res) {", "after",
         "la::TemplateBudget::check_tokens(lexer_res.tokens);"),
    *(Edit(PARSER, f"statement_ptr {name} {{", "after", NEST)
      for name in ("parse_any()", "parse_if_statement(size_t start_pos)", "parse_if_expression()",
                   "parse_logical_negation_expression()", "parse_unary_expression()",
                   "parse_call_expression(statement_ptr callee)")),
)  # fmt: skip

# Values: how many live, how deep they lie in each other, what walks over them.
VALUES = (
    Edit(VALUE_H, '#include "utils.h"', "after", '#include "chat/template_budget.h"'),
    Edit(VALUE_H, "struct value_t {", "instead", "struct value_t : la::TemplateValue {"),
    Edit(VALUE_H, "virtual ~value_t() = default;", "instead",
         "virtual ~value_t() { value_t::release(); }\n"
         "void release() override { la::release_template_values(val_arr, val_obj); }"),
    # An object keeps its values twice.
    Edit(VALUE_H, "bool has_builtins = true;", "before",
         "void release() override { decltype(unordered)().swap(unordered); value_t::release(); }"),
    Edit(VALUE_H, "val_arr.push_back(val);", "before", work("20")),
    Edit(VALUE_H, "val_arr.push_back(std::move(val));", "before", work("20")),
    Edit(VALUE_H, "bool replaced = false;", "after", work("50")),
    Edit(VALUE_H, "if (*(pair.first) == *key) {", "before", work("10")),
    Edit(VALUE_H, "if (std::all_of(val_arr.begin(), val_arr.end(),", "before", NEST),
    Edit(VALUE_H, "if (std::all_of(val_obj.begin(), val_obj.end(),", "before", NEST),
    Edit(VALUE_H, "auto hash = hasher(typeid(*this));", "before", HASH_NEST, 2),
    Edit(VALUE_H, "auto hash = val->unique_hash();", "before", HASH_NEST),
    Edit(VALUE_H, "return val_func(new_args);", "instead",
         "return la::TemplateBudget::weighed(val_func(new_args));"),
    Edit(RUNTIME_H, "static void gather_string_parts_recursive(const value & val, value_string & parts) {", "after",
         NEST),
    Edit(VALUE, "auto indent_str = [indent, curr_lvl]() -> std::string {", "before",
         WALK + " " + text("static_cast<uint64_t>(std::max(indent, 0)) * curr_lvl + item_sep.size() + key_sep.size()")),
    Edit(VALUE, "std::string value_to_string_repr(const value & val) {", "after", WALK),
    Edit(VALUE, "void value_t::stats_t::mark_used(value & val, bool deep) {", "after", NEST),
)  # fmt: skip

# Texts: what makes them longer, and what takes longer the longer they are.
TEXTS = (
    Edit(RUNTIME_H, "return mk_val<value_string>(val);", "before", text("val.size()")),
    Edit(STRING, "if (parts.size() == 1) {", "before", work("20 + length() / 8")),
    Edit(STRING, "parts.push_back(part);", "before", text("64 + part.val.size()")),
    Edit(STRING, "parts.erase(parts.begin() + i);", "before", work("2 * parts.size()"), 2),
    Edit(VALUE, "indent.assign(val_width->as_int(), ' ');", "before", text("val_width->as_int()")),
    Edit(VALUE, "indented += line;", "before", text("indent.size() + line.size()")),
    Edit(VALUE, "new_res.reserve(", "before", text("str.size() * (new_str.size() + 1)")),
    Edit(VALUE, "str.replace(pos, old_str.length(), new_str);", "before",
         text("new_str.size()") + " " + work("20 + str.size() / 64")),
    Edit(VALUE, "token = str.substr(0, pos);", "before", work("20 + str.size() / 64")),
    Edit(VALUE, "result += val_arr->as_string().str();", "before", text("delim.size()")),
    Edit(VALUE, "result.parts.insert(result.parts.end(),", "before",
         text("64 * arg_str.parts.size() + arg_str.length()")),
    Edit(VALUE, "indent = static_cast<int>(val_indent->as_int());", "after",
         'if (indent > 64) { throw raised_exception("tojson: indent must be at most 64"); }'),
)  # fmt: skip

# What ends the process, reads past an array or is slow without need.
FAULTS = (
    # INT64_MIN % -1 and x % 0 are traps.
    Edit(VALUE, "bool res = args.get_pos(0)->val_int % args.get_pos(1)->val_int == 0;", "before",
         "const int64_t la_divisor = args.get_pos(1)->val_int;\n"
         'if (la_divisor == 0) { throw raised_exception("divisibleby: the divisor is 0"); }\n'
         "if (la_divisor == -1) { return mk_val<value_bool>(true); }"),
    # The index overflows, and the compiler takes for granted that it does not.
    Edit(VALUE, "int64_t direction = (step > 0)", "before", "step = std::clamp(step, -len - 1, len + 1);"),
    # Values that do not compare consistently ("9" < "9x", 9 < 10, "10" < "9") lead std::sort out of its range; a merge
    # stays inside whatever it is told.
    Edit(VALUE, "std::sort(", "instead", "std::stable_sort(", 2),
    Edit(VALUE, "value val_a = a;", "before", work("100")),
    Edit(VALUE, "if (by_value) {", "before", work("100")),
    # The reason, not "std::exception".
    Edit("chat.cpp", "        throw e;", "instead", "        throw;"),
    # Copies of the tables of functions, one for each name that a template mentions.
    Edit(RUNTIME, "auto builtins = global_builtins();", "instead", "const auto & builtins = global_builtins();"),
    Edit(RUNTIME, "auto builtins = input->get_builtins();", "instead",
         "const auto & builtins = input->get_builtins();"),
)  # fmt: skip

EDITS = STEPS + VALUES + TEXTS + FAULTS

// The grammar of an answer of a given form, within upstream's grammar of a template's family.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace la {

// Puts `answer`, a whole grammar, where `grammar` has the JSON text `placeholder`. Pure.
std::string put_answer(std::string grammar, const std::string & placeholder, const std::string & answer);

// Puts `prefix` before every name of a rule. Pure.
std::string with_prefix(const std::string & grammar, const char * prefix);

// Rewrites three rules of a grammar that upstream made of a schema, which let through what a reader of JSON refuses:
// lone surrogates in \u escapes, exponents beyond any double, and control characters and half escapes in the keys of
// additional properties. Pure.
std::string tighten_json_rules(std::string grammar);

// Adds tool calls to the values of a response format: `text` is upstream's grammar for the format, `calls` its lazy one for
// the tools. Throws Error (LA_ERR_UNSUPPORTED) where the format's rule is not found. Pure.
std::string join_calls(std::string text, const std::string & calls);

// Takes the optional text, or messages, before the first call out of upstream's grammar for required calls. Pure.
std::string without_free_text(std::string grammar);

// A family's lazy grammar, which may leave out the calls too, since there a trigger has begun one (Qwen3-Coder's): it no
// longer does.
std::string with_a_call(std::string grammar);

// Bounds the calls of upstream's grammar for JSON between marks of each call (QwQ's), which admits none of them, and
// several whatever was asked for: at least one, and no other unless `parallel`. Pure.
std::string count_calls(std::string grammar, bool parallel);

// A grammar of answers that are thought (`thinking`, may be empty), then one of `values`: each a whole grammar. Pure.
std::string think_then(const std::string & thinking, const std::vector<std::string> & values);

} // namespace la

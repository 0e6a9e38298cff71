// A JSON schema -> the grammar of its values.
#pragma once

#include <string>
#include <string_view>

namespace la {

// `schema` is JSON whose keywords upstream's converter enforces (the Python side refuses others). Throws
// Error (LA_ERR_GRAMMAR, param "response_format").
std::string schema_grammar(std::string_view schema);

// Rewrites three rules of a grammar that upstream made of a schema, which let through what a reader of JSON refuses:
// lone surrogates in \u escapes, exponents beyond any double, and control characters and half escapes in the keys of
// additional properties. Pure.
std::string tighten_json_rules(std::string grammar);

} // namespace la

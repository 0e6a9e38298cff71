// Puts a value that obeys its schema in the place of an argument's.
#pragma once

#include "chat/arguments.h"
#include "chat/saved_parser.h"

#include <string>
#include <vector>

namespace la {

constexpr const char * k_rule_prefix = "arguments-"; // of the names of our rules within upstream's grammar

// Works on a parser that outlives it. Not thread-safe.
class ArgumentValues {
  public:
    using Id = SavedParser::Id;

    // `replace_nested`: also values that the family writes by their parts, whose form is then given up.
    ArgumentValues(SavedParser & parser, bool replace_nested) : parser_(parser), replace_nested_(replace_nested) {}

    // Whether the argument of that parser now obeys its rule, whose name the grammar has with k_rule_prefix before it.
    bool bind(Id argument, const Argument & said);
    // Whether anything was replaced.
    bool changed() const { return changed_; }

  private:
    bool has_value(Id id) const;
    bool has_name(Id id) const;
    // Whatever stands there is taken for JSON, or quoted otherwise.
    bool is_raw_json(Id value) const;
    std::string end_of(Id sequence, size_t index) const;
    // Whether such texts can stand without quotes.
    bool can_stand(const std::vector<std::string> & texts, const std::string & end, Id value) const;

    SavedParser & parser_;
    const bool replace_nested_;
    bool changed_ = false;
};

} // namespace la

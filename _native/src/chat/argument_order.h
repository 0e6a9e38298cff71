// Which arguments come, and in which order, where a family writes them one by one.
#pragma once

#include "chat/arguments.h"
#include "chat/saved_parser.h"

#include <map>
#include <string>
#include <vector>

namespace la {

using ArgumentParsers = std::map<std::string, std::vector<SavedParser::Id>>; // by argument

// Whether no call of this parser comes without the argument.
bool must_have(const SavedParser & parser, SavedParser::Id call, const std::string & name);

// Where arguments may come in any number: those that are required, then the others, each once. False, and nothing changed,
// where the family's form is another.
bool put_in_order(SavedParser & parser, SavedParser::Id call, const Arguments & said,
                  const std::vector<std::string> & required, const ArgumentParsers & arguments);

} // namespace la

// Makes a template's own way of writing arguments obey their schemas.
#pragma once

#include "chat.h" // common's

#include <string>
#include <utility>
#include <vector>

namespace la {

// What one argument of a function obeys.
struct Argument {
    std::string rule; // of its JSON
    bool free = false; // any text is a value of it, and whatever a parser may take a text for is one too
    std::vector<std::string> texts; // if not empty, its only values
};

// What a function's arguments obey. The rules stand in a grammar of their own.
struct Arguments {
    std::string rule; // of all arguments as one JSON value
    // Whether it is enough that each argument obeys its own rule, and that those are there which the tool's schema requires.
    bool one_by_one = false;
    std::vector<std::pair<std::string, Argument>> by_name;
    bool strict = false; // they have to, or the request is refused
};

// Families that write arguments between tags leave text free in upstream's grammar, whatever enum, pattern or length it has;
// some leave out what is required. Rewrites `params` (grammar and parser) of an answer that may call `tools`, so that the
// arguments obey: as one JSON value, or one by one, where texts of an enumeration stand as they are and other bounded values
// are written as JSON. `arguments` goes with `tools`, `rules` has their rules: throws Error (LA_ERR_UNSUPPORTED, param
// "tools") where those of a strict function cannot be kept to.
void enforce_arguments(common_chat_params & params, const std::vector<common_chat_tool> & tools,
                       const std::vector<Arguments> & arguments, const std::string & rules);

} // namespace la

// Tools for models whose template knows none: described in the system message, called in a format of Hermes' kind.
#pragma once

#include "chat.h" // common's

#include <nlohmann/json.hpp>

namespace la {

// Rewrites a conversation so that a template without tools can render it: the tools are described in the system message,
// earlier calls stand in the assistant's text, results are the user's.
void describe_tools(nlohmann::ordered_json & messages, const nlohmann::ordered_json & tools);

// Tells of the tools in the system message and says nothing of calls: for models that know how to call, and whose template
// renders calls but not what can be called.
void list_tools(nlohmann::ordered_json & messages, const nlohmann::ordered_json & tools);

// Puts earlier calls into the assistant's text, as [name(argument=value), ...] between two marks: for templates that leave
// that to whoever calls them.
void write_calls_as_python(nlohmann::ordered_json & messages, const std::string & open, const std::string & close);

// Replaces grammar, triggers and parser of `params`, which a template without tools gave.
void call_tools_generically(common_chat_params & params, const common_chat_templates_inputs & inputs);

} // namespace la

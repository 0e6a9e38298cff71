// Tools for models whose template knows none: described in the system message, called in a format of Hermes' kind.
#pragma once

#include "chat.h" // common's

#include <nlohmann/json.hpp>

namespace la {

// Rewrites a conversation so that a template without tools can render it: the tools are described in the system message,
// earlier calls stand in the assistant's text, results are the user's.
void describe_tools(nlohmann::ordered_json & messages, const nlohmann::ordered_json & tools);

// Replaces grammar, triggers and parser of `params`, which a template without tools gave.
void call_tools_generically(common_chat_params & params, const common_chat_templates_inputs & inputs);

} // namespace la

// Tools' parameters for templates that cannot do without a type: ByteDance's looks for it in a list, which upstream's engine
// refuses when it is not there; Hermes' walks through a list of types and never comes back.
#pragma once

#include "chat/template.h"

#include "chat.h" // common's

#include <vector>

namespace la {

// Gives every property, and every item of an array, one type, in such a way that the same values are allowed as before.
// Returns whether anything had to be changed. Pure.
bool give_types(std::vector<common_chat_tool> & tools);

// Upstream's rendering and grammar of `inputs`; once more with types if it fails without. A message that is gone on with gets no
// marks of thinking that the template does not know. Throws std::exception.
common_chat_params apply_template(const ChatTemplate & chat_template, const common_chat_templates_inputs & inputs);

} // namespace la

// Families that say to whom a message goes before what it says: its user, or a function.
#pragma once

#include "chat.h" // common's

#include <string>
#include <vector>

namespace la {

// Whether this is Functionary 3.2's format: `>>>all` and a text, `>>>function` and its arguments, one after another.
bool names_recipients(const common_chat_params & params);

// Replaces grammar, triggers and parser of such. Upstream's read neither a call behind a text nor a second one, and its
// grammar never begins: what would announce the first call stands in the prompt. Ours is no lazy one: what comes first tells.
void call_by_recipient(common_chat_params & params, const common_chat_templates_inputs & inputs);

// Beginnings of a call that nothing announces (Llama 3.x), as these models spell them.
std::vector<std::string> bare_call_marks(const std::vector<common_chat_tool> & tools);

// Texts with which an answer begins to call `tools`, a part of which may stand in the generation prompt. Triggers that are no
// words (gpt-oss, Muse) are told by the texts that they are for; where nothing announces calls (Llama 3.x), by their names.
std::vector<std::string> call_marks(const common_chat_params & params, const std::vector<common_chat_tool> & tools);

} // namespace la

// What an answer that may call tools has to obey, and how it is read: in the format of the template's family.
#pragma once

#include "chat/inputs.h"

#include "chat.h" // common's

#include <string>
#include <vector>

namespace la {

struct ToolCalls {
    common_chat_params params; // grammar, triggers and parser
    bool whole = false;        // the grammar begins behind the prompt, not with what the prompt has begun of the answer
    std::vector<std::string> marks; // texts that begin calls; one may begin in what the prompt has begun
};

// `plain` is what the prompt was rendered with. Throws Error (LA_ERR_UNSUPPORTED) where strict arguments, or an answer's
// schema beside tools, cannot be kept to, and std::exception.
ToolCalls prepare_calls(const ChatInputs & inputs, common_chat_params plain);

// The grammar of what may come before an answer, "" for nothing: the thinking that the prompt has begun, or a whole one.
std::string thinking_grammar(const common_chat_params & params);

} // namespace la

// Makes a template's own way of writing arguments obey their schemas.
#pragma once

#include "chat.h" // common's

#include <vector>

namespace la {

// Families that write arguments between tags leave text free in upstream's grammar, whatever enum, pattern or length it has;
// some leave out what is required. Rewrites `params` (grammar and parser) of an answer that may call `tools`, so that the
// arguments match: texts of an enumeration stand as they are, other bounded values are written as JSON. `strict` goes with
// `tools`: throws Error (LA_ERR_UNSUPPORTED, param "tools") where a strict one's schema cannot be kept to.
void enforce_arguments(common_chat_params & params, const std::vector<common_chat_tool> & tools,
                       const std::vector<bool> & strict);

} // namespace la

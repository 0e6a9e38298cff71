// White space of JSON, templates and answers.
#pragma once

namespace la {

// Not by strchr, which finds a NUL, too.
inline bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

} // namespace la

// The grammar that constrains a request, wherever it came from.
#pragma once

#include <string>

namespace la {

struct Grammar {
    std::string text; // GBNF; empty: none
    // The parameter that asked for it: what a refusal names.
    std::string param = "grammar";

    bool empty() const { return text.empty(); }
};

} // namespace la

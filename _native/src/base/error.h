// The one exception type of the native core: a status for the C ABI, a message, and the parameter at fault.
#pragma once

#include "llama_async.h"

#include <stdexcept>
#include <string>

namespace la {

class Error : public std::runtime_error {
  public:
    Error(la_status status, const std::string & message, std::string param = {})
        : std::runtime_error(message), status(status), param(std::move(param)) {}

    la_status status;
    std::string param;
};

} // namespace la

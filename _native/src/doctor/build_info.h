// What this library was built from and with, and what the machine offers it: the facts behind `doctor`.
#pragma once

#include <string>

namespace la {

// JSON object, built on the first call and kept; thread-safe. Initialises upstream's backends, so the first call of a
// GPU build takes as long as its driver does. Keys: docs/abi.md.
const std::string & build_info();

} // namespace la

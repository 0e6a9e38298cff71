// The segments of a request to embed or to rank -> runs of tokens. Used by the preparation thread only.
#pragma once

#include "embedding/traits.h"
#include "request/request.h"

namespace la {

// Fills request.inputs, one run for each result. Throws Error; of several inputs the one at fault is named, as in
// `input[3]`: LA_ERR_CONTEXT_LENGTH, LA_ERR_INVALID, LA_ERR_CANCELLED (looked for between two inputs).
void prepare_inputs(const Model & model, const EmbeddingTraits & traits, Request & request);

} // namespace la

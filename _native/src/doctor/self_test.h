// Does the arithmetic of this build hold on this processor?
#pragma once

namespace la {

// Multiplies quantized matrices, for every weight type and extra (repacked, AMX) buffer type that claims to support it,
// in that buffer and in a plain one; two threads, one row and many.
//
// Returns the largest difference, relative to the largest element of the plain result; 0 where there are no extra
// buffers. Throws std::runtime_error if memory or a computation fails. A broken build may die by a signal: call it in a
// child process.
double self_test();

} // namespace la

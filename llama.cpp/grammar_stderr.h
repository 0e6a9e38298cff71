/* Force-included into llama-grammar.cpp, which reports a grammar that it cannot parse by fprintf(stderr): a library must
 * not write to its host's standard error, and the reason belongs into the caller's exception. It goes to upstream's own
 * log instead. */
#ifndef LLAMA_ASYNC_GRAMMAR_STDERR_H
#define LLAMA_ASYNC_GRAMMAR_STDERR_H

#include "llama-impl.h"

#include <cstdio>

template <typename... Args> static int la_fprintf(FILE * file, const char * format, Args... args) {
    if (file == stderr) {
        llama_log_internal(GGML_LOG_LEVEL_ERROR, format, args...);
        return 0;
    }
    return std::fprintf(file, format, args...);
}

#define fprintf la_fprintf

#endif

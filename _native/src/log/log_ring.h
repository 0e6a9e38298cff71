// Upstream's log, collected in memory: nothing is printed and no thread is started.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace la {

// Installs the collector for llama.cpp, ggml and mtmd and silences `common`'s own logger. Idempotent, thread-safe.
void install_log();

// A line of ours, beside upstream's.
void log_warning(const std::string & text);

// Lines below this ggml level are dropped (1 debug .. 4 error, 5 none).
void set_log_level(int32_t level);
bool log_waiting();
// Moves whole lines ("<level digit><text>\n") out; returns the bytes written.
size_t drain_log(char * buffer, size_t capacity);

// Remembers what the calling thread's upstream calls log as errors, whatever the level: upstream reports why a model
// does not load only there.
class ErrorTap {
  public:
    ErrorTap();
    ~ErrorTap();
    ErrorTap(const ErrorTap &) = delete;
    ErrorTap & operator=(const ErrorTap &) = delete;

    // The lines so far, joined; without trailing white space.
    std::string text() const;

  private:
    std::string lines_;
    std::string * outer_;
};

// While one lives, what upstream logs as an error on this thread counts as debug once `expected` is set: it reports a step
// that we aborted ourselves as a failure.
class ExpectedFailure {
  public:
    explicit ExpectedFailure(const std::atomic<bool> & expected);
    ~ExpectedFailure();
    ExpectedFailure(const ExpectedFailure &) = delete;
    ExpectedFailure & operator=(const ExpectedFailure &) = delete;

  private:
    const std::atomic<bool> * outer_;
};

} // namespace la

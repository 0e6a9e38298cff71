#include "log/log_ring.h"

#include "base/fork.h"

#include "llama.h"
#include "log.h" // common's
#include "mtmd-helper.h"
#include "mtmd.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>

namespace la {

namespace {

constexpr size_t k_max_lines = 1000; // then the oldest go: a consumer that never drains costs no more memory

struct Collector {
    std::atomic<int32_t> level{ 5 };
    std::mutex mutex;
    std::deque<std::string> lines;
    int32_t last_level = 2; // of the line that a GGML_LOG_LEVEL_CONT continues
};

// One per process, as upstream's callback is. Never destroyed: upstream may log until the very end.
Collector *& instance() {
    static auto * one = new Collector;
    return one;
}

Collector & collector() {
    return *instance();
}

void renew_in_child() {
    auto * fresh = new Collector;
    fresh->level = collector().level.load();
    instance() = fresh; // the parent's lines are the parent's to tell
}

thread_local std::string * t_tap = nullptr;
thread_local const std::atomic<bool> * t_expected_failure = nullptr;

void on_log(ggml_log_level level, const char * text, void *) {
    auto & c = collector();
    if (t_tap && level == GGML_LOG_LEVEL_ERROR) {
        t_tap->append(text);
    }
    if (level == GGML_LOG_LEVEL_ERROR && t_expected_failure && t_expected_failure->load(std::memory_order_relaxed)) {
        level = GGML_LOG_LEVEL_DEBUG;
    }
    const bool continues = level == GGML_LOG_LEVEL_CONT;
    if (!continues && level < c.level.load(std::memory_order_relaxed)) {
        return;
    }
    const std::lock_guard<std::mutex> lock(c.mutex);
    if (continues) {
        if (!c.lines.empty() && c.lines.back().back() != '\n') {
            c.lines.back().append(text);
        }
        return;
    }
    if (*text == '\0') {
        return;
    }
    c.lines.push_back(static_cast<char>('0' + level) + std::string(text));
    if (c.lines.size() > k_max_lines) {
        c.lines.pop_front();
    }
}

} // namespace

void install_log() {
    static std::once_flag once;
    std::call_once(once, [] {
        after_fork_in_child(renew_in_child);
        llama_log_set(on_log, nullptr);
        mtmd_helper_log_set(on_log, nullptr); // libmtmd's too
        common_log_set_verbosity_thold(-1);
    });
}

void log_warning(const std::string & text) {
    on_log(GGML_LOG_LEVEL_WARN, (text + "\n").c_str(), nullptr);
}

void set_log_level(int32_t level) {
    collector().level.store(level, std::memory_order_relaxed);
}

bool log_waiting() {
    auto & c = collector();
    if (c.level.load(std::memory_order_relaxed) > 4) {
        return false; // spares the lock on every drain
    }
    const std::lock_guard<std::mutex> lock(c.mutex);
    return !c.lines.empty();
}

size_t drain_log(char * buffer, size_t capacity) {
    auto & c = collector();
    const std::lock_guard<std::mutex> lock(c.mutex);
    size_t n = 0;
    while (!c.lines.empty() && capacity > n + 1) {
        auto & line = c.lines.front();
        if (line.back() != '\n') {
            line.push_back('\n');
        }
        if (n > 0 && n + line.size() > capacity) {
            break;
        }
        const size_t n_bytes = std::min(line.size(), capacity - n); // a line longer than the whole buffer is cut
        std::memcpy(buffer + n, line.data(), n_bytes);
        n += n_bytes;
        buffer[n - 1] = '\n';
        c.lines.pop_front();
    }
    return n;
}

ErrorTap::ErrorTap() : outer_(t_tap) {
    t_tap = &lines_;
}

ErrorTap::~ErrorTap() {
    t_tap = outer_;
}

ExpectedFailure::ExpectedFailure(const std::atomic<bool> & expected) : outer_(t_expected_failure) {
    t_expected_failure = &expected;
}

ExpectedFailure::~ExpectedFailure() {
    t_expected_failure = outer_;
}

std::string ErrorTap::text() const {
    std::string joined = lines_;
    std::replace(joined.begin(), joined.end(), '\n', ' ');
    joined.erase(joined.find_last_not_of(' ') + 1);
    return joined;
}

} // namespace la

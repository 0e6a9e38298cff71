#include "base/asserts.h"

#include "ggml.h"

#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <string>

namespace la {

namespace {

thread_local bool t_throws = false;

void on_abort(const char * message) {
    if (t_throws) {
        std::string text = message;
        text.erase(text.find_last_not_of(" \n") + 1);
        throw std::runtime_error(text);
    }
    std::fprintf(stderr, "%s\n", message); // the process ends now: as upstream says it without a hook
}

} // namespace

AssertsThrow::AssertsThrow() : outer_(t_throws) {
    static std::once_flag once;
    std::call_once(once, [] { ggml_set_abort_callback(on_abort); });
    t_throws = true;
}

AssertsThrow::~AssertsThrow() {
    t_throws = outer_;
}

} // namespace la

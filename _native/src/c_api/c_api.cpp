// The extern "C" shims: argument checks, ownership, and a catch-all. No policy.
#include "llama_async.h"

#include "base/error.h"
#include "bench/bare_loop.h"
#include "doctor/build_info.h"
#include "doctor/self_test.h"
#include "engine/engine.h"
#include "engine/estimate.h"
#include "log/log_ring.h"

#include <new>

#if defined(_WIN32)
#    include <process.h>
#    define getpid _getpid
#else
#    include <unistd.h>
#endif

struct la_engine {
    explicit la_engine(la::EngineConfig config) : pid(getpid()), engine(std::move(config)) {}

    const decltype(getpid()) pid;
    la::Engine engine;
};

namespace {

struct LastError {
    std::string message;
    std::string param;
};

thread_local LastError t_last;

la_status fail(la_status status, const char * message, const std::string & param = {}) noexcept {
    try {
        t_last.message = message;
        t_last.param = param;
    } catch (...) {
        // Out of memory for the message: the status still tells.
    }
    return status;
}

template <typename F> la_status guarded(F && body) noexcept {
    t_last.message.clear();
    t_last.param.clear();
    try {
        body();
        return LA_OK;
    } catch (const la::Error & e) {
        return fail(e.status, e.what(), e.param);
    } catch (const std::bad_alloc &) {
        return fail(LA_ERR_MEMORY, "out of memory");
    } catch (const std::exception & e) {
        return fail(LA_ERR_INTERNAL, e.what());
    } catch (...) {
        return fail(LA_ERR_INTERNAL, "unknown C++ exception");
    }
}

// The engine behind a handle that belongs to this process.
template <typename E> auto & checked(E * handle) {
    if (!handle) {
        throw la::Error(LA_ERR_INVALID, "engine is NULL");
    }
    if (handle->pid != getpid()) {
        throw la::Error(LA_ERR_FORKED, "the client was created before fork(); create a new one in the child process");
    }
    return handle->engine;
}

template <typename T> const T & sized(const T * value, const char * name) {
    if (!value) {
        throw la::Error(LA_ERR_INVALID, std::string(name) + " is NULL");
    }
    if (value->struct_size != sizeof(T)) {
        throw la::Error(LA_ERR_INVALID, std::string(name) + " has a size of " + std::to_string(value->struct_size) +
                                            " bytes, this library expects " + std::to_string(sizeof(T)));
    }
    return *value;
}

template <typename T> T & non_null(T * out) {
    if (!out) {
        throw la::Error(LA_ERR_INVALID, "the result pointer is NULL");
    }
    return *out;
}

} // namespace

uint32_t la_abi_version(void) noexcept {
    return LA_ABI_VERSION;
}

const char * la_last_error(void) noexcept {
    return t_last.message.c_str();
}

const char * la_last_error_param(void) noexcept {
    return t_last.param.c_str();
}

const char * la_build_info(void) noexcept {
    const char * json = "{}";
    guarded([&] { json = la::build_info().c_str(); });
    return json;
}

la_status la_self_test(double * max_relative_error) noexcept {
    return guarded([&] { non_null(max_relative_error) = la::self_test(); });
}

void la_log_set_level(int32_t level) noexcept {
    la::set_log_level(level);
}

size_t la_log_drain(char * buffer, size_t capacity) noexcept {
    size_t n = 0;
    guarded([&] { n = buffer ? la::drain_log(buffer, capacity) : 0; });
    return n;
}

static void init_speculation(la_speculation & speculation) {
    speculation = { { nullptr, 0 }, -1, -1, -1, -1, -1, -1, -1 };
}

void la_engine_params_init(la_engine_params * params) noexcept {
    if (!params) {
        return;
    }
    *params = {};
    params->struct_size = sizeof(*params);
    params->n_parallel = 4;
    params->n_gpu_layers = -1;
    params->split_mode = 1; // by layer
    params->use_mmap = 1;
    params->use_extra_buffers = 1;
    params->offload_kqv = 1;
    params->flash_attention = -1;
    params->kv_unified = -1;
    params->poll = -1;
    params->pooling = -1;
    init_speculation(params->speculation);
    params->prefix_cache_bytes = -1;
}

la_status la_engine_open(const la_engine_params * params, la_engine ** out) noexcept {
    return guarded([&] {
        la::install_log();
        non_null(out) = nullptr;
        *out = new la_engine(la::EngineConfig(sized(params, "params")));
    });
}

la_status la_engine_estimate(const la_engine_params * params, la_memory * out) noexcept {
    return guarded([&] {
        la::install_log();
        sized(out, "out");
        *out = la::estimate(la::EngineConfig(sized(params, "params")));
    });
}

intptr_t la_engine_wake_fd(const la_engine * engine) noexcept {
    return engine ? engine->engine.wake_fd() : -1;
}

la_status la_engine_info(const la_engine * engine, const char ** json) noexcept {
    return guarded([&] { non_null(json) = checked(engine).info().c_str(); });
}

la_status la_engine_tuning(const la_engine * engine, const char ** json) noexcept {
    return guarded([&] { non_null(json) = checked(engine).tuning().c_str(); });
}

la_status la_engine_sampling_init(const la_engine * engine, la_sampling * sampling) noexcept {
    return guarded([&] { non_null(sampling) = checked(engine).model()->sampling_defaults(); });
}

void la_request_init(la_request * request) noexcept {
    if (!request) {
        return;
    }
    *request = {};
    request->struct_size = sizeof(*request);
    la::init_sampling(request->sampling);
    init_speculation(request->speculation);
    request->n_choices = 1;
    request->max_tokens = -1;
    request->embd_normalize = 2;
}

la_status la_engine_submit(la_engine * engine, const la_request * request, uint64_t * id) noexcept {
    return guarded([&] {
        auto & target = checked(engine);
        sized(&sized(request, "request").sampling, "sampling");
        non_null(id) = target.submit(*request);
    });
}

la_status la_engine_cancel(la_engine * engine, uint64_t id) noexcept {
    return guarded([&] { checked(engine).cancel(id); });
}

la_status la_engine_drain(la_engine * engine, la_drained * out) noexcept {
    return guarded([&] {
        auto & source = checked(engine);
        source.drain(non_null(out));
        out->flags = la::log_waiting() ? LA_DRAINED_LOG : 0;
    });
}

la_status la_engine_stats(const la_engine * engine, la_stats * out) noexcept {
    return guarded([&] { non_null(out) = checked(engine).stats(); });
}

la_status la_engine_bare_loop(la_engine * engine, const la_bare_params * params, la_bare_result * out) noexcept {
    return guarded([&] {
        auto & owner = checked(engine);
        non_null(out) = la::bare_loop(*owner.model(), owner.used(), sized(params, "params"));
    });
}

la_status la_engine_close(la_engine * engine) noexcept {
    return guarded([&] { checked(engine).close(); });
}

void la_engine_free(la_engine * engine) noexcept {
    if (engine && engine->pid == getpid()) {
        guarded([&] { delete engine; });
    }
}

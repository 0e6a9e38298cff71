// Work of ours on the compute threads of a context, which poll between two steps anyway.
#pragma once

#include "engine/context.h"

#include "ggml-backend.h"
#include "ggml.h"

#include <cstdint>
#include <memory>
#include <type_traits>

namespace la {

// Not thread-safe. Threads of our own would have to wake up first, and take the cores from those that poll.
class ThreadTeam {
  public:
    explicit ThreadTeam(const Threads & threads);

    // 1: there is nobody to share with.
    int32_t n_threads() const { return n_threads_; }

    // Calls work(i) for each i below n, in any order, on several threads at once. `work` must not throw. REQUIRES: nobody
    // else computes on these threads (a turn of the ComputeGate).
    template <typename Work> void each(int32_t n, const Work & work) {
        static_assert(std::is_nothrow_invocable_v<const Work &, int32_t>, "an exception cannot leave a compute thread");
        run(n, [](const void * context, int32_t i) noexcept { (*static_cast<const Work *>(context))(i); }, &work);
    }

  private:
    using Call = void (*)(const void * context, int32_t i) noexcept;
    struct Job;

    void run(int32_t n, Call call, const void * context);

    struct Free {
        void operator()(ggml_context * ctx) const { ggml_free(ctx); }
        void operator()(ggml_backend_t backend) const { ggml_backend_free(backend); }
    };

    int32_t n_threads_ = 1;
    std::shared_ptr<ggml_threadpool> pool_; // before the backend that uses it
    std::unique_ptr<ggml_backend, Free> backend_;
    std::unique_ptr<ggml_context, Free> ctx_;
    std::shared_ptr<Job> job_;
    ggml_cgraph * graph_ = nullptr; // of one node, which does the job
};

} // namespace la

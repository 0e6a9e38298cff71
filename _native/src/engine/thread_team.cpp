#include "engine/thread_team.h"

#include <atomic>

namespace la {

struct ThreadTeam::Job {
    std::atomic<int32_t> next{ 0 };
    int32_t n = 0;
    Call call = nullptr;
    const void * context = nullptr;
    float nothing = 0; // what the node computes

    // Each takes the next that nobody has taken: they differ in length.
    void work() noexcept {
        for (int32_t i = next.fetch_add(1, std::memory_order_relaxed); i < n;
             i = next.fetch_add(1, std::memory_order_relaxed)) {
            call(context, i);
        }
    }
};

ThreadTeam::ThreadTeam(const Threads & threads) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    // Several sequences were decoded just now: upstream has computed them with the pool for batches, and waking the other one
    // would leave that one polling beside it.
    pool_ = threads.batch ? threads.batch : threads.decode;
    const int32_t n_threads = threads.batch ? threads.n_batch : threads.n_decode;
    if (!cpu || !pool_ || n_threads < 2) {
        return;
    }
    const auto set_threadpool = reinterpret_cast<void (*)(ggml_backend_t, ggml_threadpool *)>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_backend_cpu_set_threadpool"));
    const auto set_n_threads = reinterpret_cast<void (*)(ggml_backend_t, int)>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_backend_set_n_threads"));
    backend_.reset(ggml_backend_dev_init(cpu, nullptr));
    const size_t n_bytes = 8 * ggml_tensor_overhead() + ggml_graph_overhead_custom(4, false);
    ctx_.reset(ggml_init({ n_bytes, nullptr, /*no_alloc =*/true }));
    if (!set_threadpool || !set_n_threads || !backend_ || !ctx_) {
        return;
    }
    set_n_threads(backend_.get(), n_threads);
    set_threadpool(backend_.get(), pool_.get());
    job_ = std::make_shared<Job>();
    const auto work = [](ggml_tensor *, int, int, void * job) { static_cast<Job *>(job)->work(); };
    ggml_tensor * node = ggml_custom_4d(ctx_.get(), GGML_TYPE_F32, 1, 1, 1, 1, nullptr, 0, work, GGML_N_TASKS_MAX, job_.get());
    node->data = &job_->nothing;
    graph_ = ggml_new_graph_custom(ctx_.get(), 4, false);
    ggml_build_forward_expand(graph_, node);
    n_threads_ = n_threads;
}

void ThreadTeam::run(int32_t n, Call call, const void * context) {
    if (n_threads_ == 1 || n < 2) {
        for (int32_t i = 0; i < n; ++i) {
            call(context, i);
        }
        return;
    }
    job_->next.store(0, std::memory_order_relaxed);
    job_->n = n;
    job_->call = call;
    job_->context = context;
    ggml_backend_graph_compute(backend_.get(), graph_);
    job_->work(); // nothing is left, unless the threads could not be had
}

} // namespace la

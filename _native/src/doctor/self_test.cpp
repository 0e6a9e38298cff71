#include "doctor/self_test.h"

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

namespace la {
namespace {

constexpr int64_t n_inner = 512; // two blocks of the K quants
constexpr int64_t n_rows = 128;  // a multiple of every kernel's tile
constexpr int n_threads = 2;     // AMX is configured for each thread by itself

struct Free {
    void operator()(ggml_context * p) const { ggml_free(p); }
    void operator()(ggml_backend * p) const { ggml_backend_free(p); }
    void operator()(ggml_backend_buffer * p) const { ggml_backend_buffer_free(p); }
};

template <typename T> std::unique_ptr<T, Free> owned(T * pointer, const char * what) {
    if (pointer == nullptr) {
        throw std::runtime_error(std::string("self-test: no ") + what);
    }
    return std::unique_ptr<T, Free>(pointer);
}

std::unique_ptr<ggml_context, Free> tensor_context() {
    // Data lives in backend buffers: here is room for a handful of tensor headers and one graph.
    ggml_init_params params = {ggml_tensor_overhead() * 8 + ggml_graph_overhead(), nullptr, true};
    return owned(ggml_init(params), "tensor context");
}

std::vector<float> random_values(size_t count, uint32_t seed) {
    std::mt19937 generator(seed);
    std::vector<float> values(count);
    for (float & value : values) {
        value = static_cast<float>(generator()) / 2147483648.0f - 1.0f;
    }
    return values;
}

// Would the CPU multiply weights of this type that lie in such a buffer?
bool supported(ggml_backend_dev_t device, ggml_backend_buffer_type_t buffer_type, ggml_type type, int64_t n_columns) {
    auto context = tensor_context();
    ggml_tensor * weights = ggml_new_tensor_2d(context.get(), type, n_inner, n_rows);
    ggml_tensor * input = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, n_inner, n_columns);
    ggml_tensor * product = ggml_mul_mat(context.get(), weights, input);
    auto probe = owned(ggml_backend_buft_alloc_buffer(buffer_type, 0), "probe buffer");
    weights->buffer = probe.get();
    return ggml_backend_dev_supports_op(device, product);
}

std::vector<float> multiply(ggml_backend_t backend, ggml_backend_buffer_type_t buffer_type, ggml_type type,
                            const std::vector<uint8_t> & weight_data, const std::vector<float> & input_data) {
    const int64_t n_columns = static_cast<int64_t>(input_data.size()) / n_inner;
    auto weight_context = tensor_context();
    ggml_tensor * weights = ggml_new_tensor_2d(weight_context.get(), type, n_inner, n_rows);
    auto weight_buffer =
        owned(ggml_backend_alloc_ctx_tensors_from_buft(weight_context.get(), buffer_type), "weight buffer");
    ggml_backend_buffer_set_usage(weight_buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    ggml_backend_tensor_set(weights, weight_data.data(), 0, weight_data.size());

    auto context = tensor_context();
    ggml_tensor * input = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, n_inner, n_columns);
    ggml_tensor * product = ggml_mul_mat(context.get(), weights, input);
    ggml_cgraph * graph = ggml_new_graph(context.get());
    ggml_build_forward_expand(graph, product);
    auto buffer = owned(ggml_backend_alloc_ctx_tensors(context.get(), backend), "compute buffer");
    ggml_backend_tensor_set(input, input_data.data(), 0, ggml_nbytes(input));
    if (ggml_backend_graph_compute(backend, graph) != GGML_STATUS_SUCCESS) {
        throw std::runtime_error(std::string("self-test: multiplying ") + ggml_type_name(type) + " failed");
    }
    std::vector<float> result(static_cast<size_t>(n_rows * n_columns));
    ggml_backend_tensor_get(product, result.data(), 0, result.size() * sizeof(float));
    return result;
}

double relative_error(const std::vector<float> & expected, const std::vector<float> & actual) {
    double scale = 0;
    double difference = 0;
    for (size_t i = 0; i < expected.size(); i++) {
        if (!std::isfinite(actual[i])) {
            return HUGE_VAL;
        }
        scale = std::max(scale, std::fabs(static_cast<double>(expected[i])));
        difference = std::max(difference, std::fabs(static_cast<double>(expected[i]) - actual[i]));
    }
    return difference / scale;
}

} // namespace

double self_test() {
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (device == nullptr) {
        throw std::runtime_error("self-test: no CPU backend");
    }
    auto * get_extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts"));
    if (get_extra == nullptr) {
        return 0;
    }
    auto backend = owned(ggml_backend_dev_init(device, nullptr), "CPU backend");
    ggml_backend_cpu_set_n_threads(backend.get(), n_threads);

    const std::vector<float> values = random_values(static_cast<size_t>(n_inner * n_rows), 1);
    double worst = 0;
    for (ggml_type type : {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q8_0, GGML_TYPE_Q2_K, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K,
                           GGML_TYPE_Q6_K, GGML_TYPE_IQ4_NL, GGML_TYPE_IQ4_XS}) {
        std::vector<uint8_t> weights(ggml_row_size(type, n_inner) * n_rows);
        ggml_quantize_chunk(type, values.data(), weights.data(), 0, n_rows, n_inner, nullptr);
        for (int64_t n_columns : {1, 3, 64}) {
            const std::vector<float> input = random_values(static_cast<size_t>(n_inner * n_columns), 2);
            for (ggml_backend_buffer_type_t * extra = get_extra(device); *extra != nullptr; extra++) {
                if (!supported(device, *extra, type, n_columns)) {
                    continue;
                }
                const auto plain = multiply(backend.get(), ggml_backend_cpu_buffer_type(), type, weights, input);
                const auto other = multiply(backend.get(), *extra, type, weights, input);
                worst = std::max(worst, relative_error(plain, other));
            }
        }
    }
    return worst;
}

} // namespace la

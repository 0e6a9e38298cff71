#include "doctor/build_info.h"

#include "build_config.h"
#include "doctor/cpu.h"
#include "llama_async.h"

#include <ggml-backend.h>
#include <llama.h>
#include <nlohmann/json.hpp>

#include <sstream>

namespace la {
namespace {

using json = nlohmann::ordered_json;

const char * type_name(enum ggml_backend_dev_type type) {
    switch (type) {
        case GGML_BACKEND_DEVICE_TYPE_CPU:
            return "cpu";
        case GGML_BACKEND_DEVICE_TYPE_GPU:
            return "gpu";
        case GGML_BACKEND_DEVICE_TYPE_IGPU:
            return "igpu";
        case GGML_BACKEND_DEVICE_TYPE_ACCEL:
            return "accel";
        default:
            return "other";
    }
}

json backends() {
    json list = json::array();
    for (size_t i = 0; i < ggml_backend_reg_count(); i++) {
        ggml_backend_reg_t reg = ggml_backend_reg_get(i);
        json devices = json::array();
        for (size_t d = 0; d < ggml_backend_reg_dev_count(reg); d++) {
            ggml_backend_dev_t device = ggml_backend_reg_dev_get(reg, d);
            size_t free_bytes = 0;
            size_t total_bytes = 0;
            ggml_backend_dev_memory(device, &free_bytes, &total_bytes);
            devices.push_back({
                {"name", ggml_backend_dev_name(device)},
                {"description", ggml_backend_dev_description(device)},
                {"type", type_name(ggml_backend_dev_type(device))},
                {"memory_bytes", total_bytes},
            });
        }
        list.push_back({{"name", ggml_backend_reg_name(reg)}, {"devices", devices}});
    }
    return list;
}

// The names of the CPU's buffer types for rearranged weights: what `use_extra_buffers` switches.
json extra_buffers() {
    json names = json::array();
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (cpu == nullptr) {
        return names;
    }
    auto * get_extra = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_backend_dev_get_extra_bufts"));
    if (get_extra == nullptr) {
        return names;
    }
    for (ggml_backend_buffer_type_t * type = get_extra(cpu); type != nullptr && *type != nullptr; type++) {
        names.push_back(ggml_backend_buft_name(*type));
    }
    return names;
}

// "CPU : SSE3 = 1 | AVX2 = 1 | Vulkan : ... | " -> {"CPU": {"SSE3": "1", "AVX2": "1"}, "Vulkan": {...}}
json features(const std::string & system_info) {
    json result = json::object();
    std::string backend;
    std::istringstream fields(system_info);
    for (std::string field; std::getline(fields, field, '|');) {
        const size_t colon = field.find(" : ");
        if (colon != std::string::npos) {
            backend = field.substr(0, colon);
            backend.erase(0, backend.find_first_not_of(' '));
            field.erase(0, colon + 3);
        }
        const size_t equals = field.find(" = ");
        if (equals == std::string::npos) {
            continue;
        }
        std::string name = field.substr(0, equals);
        name.erase(0, name.find_first_not_of(' '));
        std::string value = field.substr(equals + 3);
        value.erase(value.find_last_not_of(' ') + 1);
        result[backend][name] = value;
    }
    return result;
}

std::string describe() {
    const json info = {
        {"version", LA_CONFIG_VERSION},
        {"abi_version", LA_ABI_VERSION},
        {"upstream", {{"commit", LA_CONFIG_UPSTREAM_COMMIT}, {"version", LA_CONFIG_UPSTREAM_VERSION}}},
        {"compiler", LA_CONFIG_COMPILER},
        {"cxx_flags", LA_CONFIG_CXX_FLAGS},
        {"build_type", LA_CONFIG_BUILD_TYPE},
        {"system", LA_CONFIG_SYSTEM},
        {"sanitize", LA_CONFIG_SANITIZE},
        {"native", LA_NATIVE != 0},
        {"openmp", LA_OPENMP != 0},
        {"backends", backends()},
        {"features", features(llama_print_system_info())},
        {"extra_buffers", extra_buffers()},
        {"cpu", {{"model", cpu_model()}, {"offers", cpu_features()}}},
    };
    // Driver strings need not be UTF-8.
    return info.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace

const std::string & build_info() {
    static const std::string text = describe();
    return text;
}

} // namespace la

// The build describes itself, and its arithmetic holds on this machine.
#include "doctor/build_info.h"
#include "doctor/self_test.h"
#include "llama_async.h"

#include <nlohmann/json.hpp>

#include <cstdio>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                       \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

int main() {
    const auto info = nlohmann::json::parse(la::build_info());
    std::printf("%s\n", info.dump(2).c_str());
    CHECK(&la::build_info() == &la::build_info());
    CHECK(info.at("abi_version") == LA_ABI_VERSION);
    CHECK(!info.at("upstream").at("commit").get<std::string>().empty());
    CHECK(info.at("features").contains("CPU"));
    bool has_cpu = false;
    for (const auto & backend : info.at("backends")) {
        for (const auto & device : backend.at("devices")) {
            has_cpu = has_cpu || device.at("type") == "cpu";
        }
    }
    CHECK(has_cpu);

    const double error = la::self_test();
    std::printf("self-test: largest relative error %g\n", error);
    CHECK(error >= 0);
    CHECK(error < 0.02);
    return 0;
}

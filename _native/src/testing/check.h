// The little that the C++ unit tests need: CHECK, and a main that runs every TEST and counts.
#pragma once

#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <vector>

namespace la::testing {

struct Case {
    const char * name;
    std::function<void()> body;
};

inline std::vector<Case> & cases() {
    static std::vector<Case> all;
    return all;
}

inline int & n_failed() {
    static int n = 0;
    return n;
}

struct Registrar {
    Registrar(const char * name, std::function<void()> body) { cases().push_back({ name, std::move(body) }); }
};

// Seconds of CPU that this process has had: what others do on the machine does not count.
inline double cpu_s() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

// Runs the cases whose name contains `filter`; with a leading '-', those whose name does not.
inline int run_all(const char * filter) {
    const bool exclude = filter && *filter == '-';
    const char * part = exclude ? filter + 1 : filter;
    int n_run = 0;
    for (const auto & test : cases()) {
        if (part && (std::strstr(test.name, part) != nullptr) == exclude) {
            continue;
        }
        const int before = n_failed();
        test.body();
        ++n_run;
        std::printf("%s %s\n", n_failed() == before ? "ok  " : "FAIL", test.name);
        std::fflush(stdout);
    }
    std::printf("%d run, %d failed checks\n", n_run, n_failed());
    return n_failed() == 0 && n_run > 0 ? 0 : 1;
}

} // namespace la::testing

#define TEST(name)                                                          \
    static void test_##name();                                              \
    static la::testing::Registrar registrar_##name(#name, test_##name);     \
    static void test_##name()

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            std::printf("%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition);      \
            ++la::testing::n_failed();                                              \
        }                                                                           \
    } while (0)

#define TEST_MAIN                                                                              \
    int main(int argc, char ** argv) { return la::testing::run_all(argc > 1 ? argv[1] : nullptr); }

#include "engine/thread_team.h"
#include "model/model.h"
#include "testing/check.h"

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

using namespace la;

namespace {

Threads threads_of(int32_t n) {
    la_engine_params params;
    la_engine_params_init(&params);
    params.model_path = { "none", 4 };
    params.n_threads = n;
    return make_threads(EngineConfig(params));
}

} // namespace

TEST(each_piece_of_work_is_done_once) {
    for (const int32_t n_threads : { 1, 2, 4 }) {
        ThreadTeam team(threads_of(n_threads));
        CHECK(team.n_threads() == n_threads);
        for (int round = 0; round < 200; ++round) {
            const int32_t n = round % 40;
            std::vector<int32_t> done(static_cast<size_t>(n), 0); // each written by one thread, read by this one
            team.each(n, [&](int32_t i) noexcept { done[static_cast<size_t>(i)] += i + 1; });
            CHECK(std::accumulate(done.begin(), done.end(), 0) == n * (n + 1) / 2);
        }
    }
}

TEST(several_threads_share_it) {
    ThreadTeam team(threads_of(2));
    std::vector<std::thread::id> who(2);
    std::atomic<int> n_begun{ 0 };
    team.each(2, [&](int32_t i) noexcept {
        who[static_cast<size_t>(i)] = std::this_thread::get_id();
        ++n_begun;
        while (n_begun < 2) { // neither ends before both have begun: one thread alone would wait for ever
            std::this_thread::yield();
        }
    });
    CHECK(who[0] != who[1]);
}

TEST_MAIN

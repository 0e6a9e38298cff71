// The decode thread when memory runs out: at each of its allocations in turn. Requests end, the engine lives.
#include "testing/check.h"
#include "testing/engine_client.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <pthread.h>

namespace {

using la::testing::Ask;
using la::testing::Client;

// How many allocations of the decode thread go well from now on; less than 0: all.
std::atomic<int> n_good{ -1 };
std::atomic<int> n_failed{ 0 };

bool fails() {
    if (n_good.load(std::memory_order_relaxed) < 0) {
        return false;
    }
    thread_local const bool decodes = [] {
        char name[16] = {};
        return pthread_getname_np(pthread_self(), name, sizeof(name)) == 0 && std::strcmp(name, "llama-decode") == 0;
    }();
    if (decodes && n_good.fetch_sub(1, std::memory_order_relaxed) == 0) {
        n_failed.fetch_add(1, std::memory_order_relaxed);
        return true;
    }
    return false;
}

} // namespace

void * operator new(std::size_t size) {
    void * const memory = fails() ? nullptr : std::malloc(size > 0 ? size : 1);
    if (!memory) {
        throw std::bad_alloc();
    }
    return memory;
}

void * operator new(std::size_t size, const std::nothrow_t &) noexcept {
    return fails() ? nullptr : std::malloc(size > 0 ? size : 1);
}

void operator delete(void * memory) noexcept {
    std::free(memory);
}

void operator delete(void * memory, std::size_t) noexcept {
    std::free(memory);
}

TEST(the_engine_outlives_what_it_cannot_allocate) {
    Client client(2, 512);
    CHECK(client.load());
    std::string shared = "A long beginning that several have in common:";
    for (int i = 0; i < 6; ++i) {
        shared += " and so on";
    }
    const auto ask_all = [&](int n) {
        const int n_before = client.n_ended;
        std::vector<uint64_t> ids;
        for (int i = 0; i < n; ++i) {
            Ask ask(i % 2 == 0 ? shared + std::to_string(i) : std::to_string(i), 3);
            ask.request.n_choices = i == 1 ? 2 : 1;
            ask.request.sampling.top_logprobs = i == 2 ? 2 : -1;
            ask.request.priority = i;
            uint64_t id = 0;
            CHECK(ask.submit(client.engine, id) == LA_OK);
            ids.push_back(id);
        }
        CHECK(client.drain_until([&] { return client.n_ended == n_before + n; }));
        return ids;
    };
    ask_all(4);
    int n_out_of_memory = 0;
    for (int n = 0;; n += 1 + n / 6) {
        const int n_failed_before = n_failed;
        n_good = n;
        for (const uint64_t id : ask_all(3)) {
            const auto & answer = client.answers.at(id);
            CHECK(answer.n_ends == 1);
            CHECK(answer.status == LA_OK || !answer.error.empty());
            n_out_of_memory += answer.status != LA_OK;
        }
        n_good = -1;
        for (const uint64_t id : ask_all(1)) { // as if nothing had been
            CHECK(client.answers.at(id).status == LA_OK);
        }
        CHECK(client.stats().n_running == 0 && client.stats().n_queued == 0);
        if (n_failed == n_failed_before) {
            break; // fewer are made than would have gone well
        }
    }
    CHECK(n_failed > 12 && n_out_of_memory > 0);
    std::printf("%d allocations failed, %d requests ended by it\n", n_failed.load(), n_out_of_memory);
}

// The same while a prompt is computed in slices, between which somebody decodes.
TEST(a_slice_may_fail_too) {
    Client client(3, 1024);
    CHECK(client.load());
    std::string text;
    for (int i = 0; i < 40; ++i) {
        text += " and on it goes";
    }
    int n_asked = 0;
    const auto ask_beside = [&] {
        const int n_before = client.n_ended;
        std::vector<uint64_t> ids(3);
        for (int i = 0; i < 3; ++i) {
            Ask ask(std::to_string(++n_asked) + (i == 2 ? text : ""), i == 2 ? 2 : 60);
            ask.request.sampling.ignore_eos = 1;
            CHECK(ask.submit(client.engine, ids[i]) == LA_OK);
            const uint64_t id = ids[i];
            CHECK(i != 1 || client.drain_until([&] { return client.answers[id].n_ends > 0 || !client.answers[id].text[0].empty(); }));
        }
        CHECK(client.drain_until([&] { return client.n_ended == n_before + 3; }));
        return ids;
    };
    ask_beside();
    ask_beside();
    int n_out_of_memory = 0;
    for (int n = 0;; n += 1 + n / 4) {
        const int n_failed_before = n_failed;
        n_good = n;
        for (const uint64_t id : ask_beside()) {
            CHECK(client.answers.at(id).n_ends == 1);
            n_out_of_memory += client.answers.at(id).status != LA_OK;
        }
        n_good = -1;
        CHECK(client.stats().n_running == 0 && client.stats().n_queued == 0);
        if (n_failed == n_failed_before) {
            break;
        }
    }
    for (const uint64_t id : ask_beside()) { // as if nothing had been
        CHECK(client.answers.at(id).status == LA_OK);
    }
    CHECK(n_out_of_memory > 0);
}

TEST_MAIN

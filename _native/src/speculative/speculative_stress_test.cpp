// Guesses under load, through the C ABI: every answer comes and ends, whoever guesses and however wrong. Run under
// ThreadSanitizer and AddressSanitizer with a tiny model, of whose answers nothing is asked.
#include "testing/check.h"
#include "testing/engine_client.h"

#include <atomic>
#include <random>
#include <thread>

using la::testing::Ask;
using la::testing::Client;

namespace {

// A request that is guessed for whatever it costs.
Ask eager(const std::string & content, const std::string & kinds, const std::string & prediction, int max_tokens = 24) {
    Ask ask(content, max_tokens);
    ask.request.speculation.kinds = { kinds.data(), kinds.size() };
    ask.request.speculation.ngram_size_n = 1;
    ask.request.speculation.adaptive = 0;
    ask.request.prediction = { prediction.data(), prediction.size() };
    ask.request.sampling.ignore_eos = 1;
    return ask;
}

std::string answer_to(Client & client, Ask ask) {
    uint64_t id = 0;
    CHECK(ask.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.answers[id].n_ends == 1; }));
    CHECK(client.answers[id].status == LA_OK);
    CHECK(client.answers[id].n_generated == ask.request.max_tokens);
    return client.answers[id].text[0];
}

const std::string k_text = "one two three four one two three four one two three four";
const std::string k_none;

} // namespace

TEST(guesses_save_steps) {
    Client client(2, 512);
    CHECK(client.load());
    const std::string said = answer_to(client, eager(k_text, "none", k_none));
    const auto before = client.stats();
    answer_to(client, eager(k_text, "none", said));
    const auto after = client.stats();
    CHECK(before.n_drafted == 0 && after.n_drafted > 0);
    CHECK(after.n_accepted > 0 && after.n_accepted <= after.n_drafted);
    // One for the prompt, at most two, and one for each token that was not guessed.
    CHECK(after.n_steps - before.n_steps <= 2 + 24 - after.n_accepted);
    CHECK(after.n_generated - before.n_generated == 24);
}

TEST(a_second_model_guesses_what_the_first_will_say) {
    Client client(2, 512, {}, 0, 0, "draft-simple", true); // the same model: it knows
    CHECK(client.load());
    answer_to(client, eager(k_text, "draft-simple", k_none, 40));
    const auto stats = client.stats();
    CHECK(stats.n_accepted >= 20);
    CHECK(stats.n_steps <= 20);
}

TEST(what_was_not_loaded_cannot_be_asked_to_guess) {
    Client client;
    CHECK(client.load());
    for (const char * kinds : { "draft-simple", "draft-mtp", "magic" }) {
        uint64_t id = 0;
        CHECK(eager(k_text, kinds, k_none).submit(client.engine, id) == LA_ERR_INVALID);
        CHECK(std::string(la_last_error_param()) == "speculative");
    }
}

TEST(cells_that_run_out_cost_guesses_and_nobody_an_answer) {
    Client client(4, 256, {}, 0, 320);
    CHECK(client.load());
    std::vector<uint64_t> ids(6);
    for (auto & id : ids) {
        CHECK(eager(k_text, "ngram-simple", k_none, 96).submit(client.engine, id) == LA_OK);
    }
    CHECK(client.drain_until([&] { return client.n_ended == 6; }));
    for (const uint64_t id : ids) {
        CHECK(client.answers[id].status == LA_OK && client.answers[id].n_generated == 96);
    }
}

TEST(random_guesses_cancels_and_close) {
    for (const bool draft_model : { false, true }) {
        Client client(4, 512, {}, 0, draft_model ? 0 : 700, draft_model ? "ngram-map-k4v,draft-simple" : "ngram-mod", draft_model);
        CHECK(client.load());
        std::atomic<int> n_accepted{ 0 };
        std::vector<std::thread> threads;
        for (int t = 0; t < 3; ++t) {
            threads.emplace_back([&, t] {
                std::mt19937 random(static_cast<unsigned>(t));
                const char * const kinds[] = { "", "ngram-simple", "ngram-map-k", "ngram-cache", "ngram-mod", "none" };
                for (int i = 0; i < 12; ++i) {
                    const std::string content = k_text.substr(random() % 20);
                    const std::string kind = kinds[random() % 6];
                    const std::string prediction = random() % 2 ? k_text : k_none;
                    Ask ask = eager(content, kind, prediction, 1 + static_cast<int>(random() % 40));
                    ask.request.n_choices = 1 + static_cast<int>(random() % 3);
                    ask.request.sampling.temperature = random() % 2 ? 0.0f : 1.5f;
                    ask.request.sampling.top_logprobs = random() % 3 ? -1 : 2;
                    ask.request.priority = static_cast<int>(random() % 3);
                    ask.request.speculation.adaptive = random() % 2;
                    if (random() % 3 == 0) {
                        ask.request.flags |= LA_REQUEST_NO_CACHE;
                    }
                    uint64_t id = 0;
                    if (ask.submit(client.engine, id) != LA_OK) {
                        continue;
                    }
                    ++n_accepted;
                    if (random() % 3 == 0) {
                        std::this_thread::yield();
                        la_engine_cancel(client.engine, id);
                    }
                }
            });
        }
        for (auto & thread : threads) {
            thread.join();
        }
        CHECK(client.drain_until([&] { return client.n_ended == n_accepted; }, 600000));
        for (const auto & [id, answer] : client.answers) {
            CHECK(answer.n_ends == 1);
            CHECK(answer.status == LA_OK || answer.status == LA_ERR_CANCELLED);
        }
        const auto stats = client.stats();
        CHECK(stats.n_running == 0 && stats.n_accepted <= stats.n_drafted && stats.n_drafted > 0);
        uint64_t id = 0;
        CHECK(eager(k_text, "ngram-simple", k_text, 400).submit(client.engine, id) == LA_OK);
        la_engine_close(client.engine);
        CHECK(client.drain_until([&] { return client.closed; }));
        CHECK(client.answers[id].n_ends == 1);
    }
}

TEST_MAIN

// The engine through its C ABI: answers, cancellation, shutdown, many threads. LLAMA_ASYNC_TEST_MODEL names the GGUF
// file: the default model, or, under a sanitizer that would take an hour over it, a tiny one with random weights
// (tests/tools/tiny_models.py), of whose answers nothing is asked but that they come and end.
#include "llama_async.h"
#include "testing/check.h"
#include "testing/engine_client.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <poll.h>
#include <random>
#include <string>
#include <thread>

namespace {

using la::testing::Answer;
using la::testing::Ask;
using la::testing::Client;

const char * const k_question = "What is the capital of France?";

} // namespace

TEST(continues_a_text) {
    Client client;
    CHECK(client.load());
    const std::string text = "The capital of France is";
    Ask ask("", 8);
    ask.segment.kind = LA_SEGMENT_TEXT;
    ask.segment.flags = LA_SEGMENT_ADD_SPECIAL;
    ask.json = text;
    uint64_t id = 0;
    CHECK(ask.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    const Answer & answer = client.answers[id];
    CHECK(answer.status == LA_OK && answer.n_ends == 1);
    const char * info = nullptr;
    CHECK(la_engine_info(client.engine, &info) == LA_OK);
    if (std::strstr(info, "SmolLM2")) {
        CHECK(answer.text.at(0).find(" Paris") == 0);
        CHECK(answer.n_prompt == 5);
    }
    CHECK(answer.finish.at(0) == LA_FINISH_LENGTH);
    CHECK(answer.n_generated == 8);
}

TEST(a_prompt_is_scored_whatever_is_cached) {
    Client client(2, 2048); // a tiny model has a token per character
    CHECK(client.load());
    std::string text = "The";
    for (int i = 0; i < 200; ++i) {
        text += " capital";
    }
    Ask ask("", 4);
    ask.segment.kind = LA_SEGMENT_TEXT;
    ask.json = text;
    uint64_t id = 0;
    CHECK(ask.submit(client.engine, id) == LA_OK); // leaves a prefix behind
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));

    const auto entries_of = [&](const std::string & packed, int n_top) {
        std::vector<la_logprob> entries;
        for (size_t at = 0; at + sizeof(la_logprob) <= packed.size();) {
            la_logprob entry;
            std::memcpy(&entry, packed.data() + at, sizeof(entry));
            at += sizeof(entry) + entry.n_bytes;
            CHECK(entry.n_top == (entries.empty() ? 0u : uint32_t(n_top)));
            for (uint32_t i = 0; i < entry.n_top; ++i) {
                la_logprob other;
                std::memcpy(&other, packed.data() + at, sizeof(other));
                at += sizeof(other) + other.n_bytes;
                CHECK(other.logprob <= 0 && (other.token != entry.token || other.logprob == entry.logprob));
            }
            entries.push_back(entry);
        }
        return entries;
    };
    for (const int max_tokens : { 0, 3 }) {
        ask.request.flags = LA_REQUEST_STREAM | LA_REQUEST_PROMPT_LOGPROBS;
        ask.request.max_tokens = max_tokens;
        ask.request.n_choices = 2;
        ask.request.sampling.top_logprobs = 3;
        const int n_ended = client.n_ended;
        CHECK(ask.submit(client.engine, id) == LA_OK);
        CHECK(client.drain_until([&] { return client.n_ended > n_ended; }));
        const Answer & answer = client.answers[id];
        CHECK(answer.status == LA_OK && answer.n_cached == 0 && answer.n_generated == 2 * max_tokens);
        const auto entries = entries_of(answer.aux.at(-1), 3);
        CHECK(int(entries.size()) == answer.n_prompt);
        CHECK(std::isnan(entries[0].logprob) && answer.finish.at(0) == LA_FINISH_LENGTH);
        for (size_t i = 1; i < entries.size(); ++i) {
            CHECK(entries[i].logprob <= 0);
        }
        CHECK(answer.finish.at(1) == LA_FINISH_LENGTH);
        CHECK(max_tokens > 0 || (answer.text.at(0).empty() && answer.text.at(1).empty()));
    }
    ask.request.max_tokens = -2;
    CHECK(ask.submit(client.engine, id) == LA_ERR_INVALID);
}

TEST(text_becomes_tokens_and_text_again) {
    Client client;
    CHECK(client.load());
    const std::string texts[] = { "The capital of France", "", "na\xc3\xafve \xf0\x9f\xa6\x99" };
    la_segment segments[3] = {};
    for (int i = 0; i < 3; ++i) {
        segments[i].kind = LA_SEGMENT_TEXT;
        segments[i].data = texts[i].data();
        segments[i].size = texts[i].size();
    }
    la_request request;
    la_request_init(&request);
    request.task = LA_TASK_TOKENIZE;
    request.segments = segments;
    request.n_segments = 3;
    uint64_t id = 0;
    CHECK(la_engine_submit(client.engine, &request, &id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    Answer answer = client.answers[id];
    CHECK(answer.status == LA_OK && answer.aux.size() == 3 && answer.aux[1].empty() && answer.text[0].empty());
    CHECK(answer.n_prompt == int((answer.aux[0].size() + answer.aux[2].size()) / sizeof(int32_t)));
    CHECK(answer.n_generated == 0);

    for (int i = 0; i < 3; ++i) {
        segments[i].kind = LA_SEGMENT_TOKENS;
        segments[i].data = answer.aux[i].data();
        segments[i].size = answer.aux[i].size();
    }
    request.task = LA_TASK_DETOKENIZE;
    CHECK(la_engine_submit(client.engine, &request, &id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 2; }));
    for (int i = 0; i < 3; ++i) {
        std::string text = client.answers[id].text[i];
        // A tiny model spells a space before an unknown word in bytes, as the mark that stands for it.
        for (size_t at = 0; (at = text.find("\xe2\x96\x81")) != std::string::npos;) {
            text.replace(at, 3, " ");
        }
        CHECK(text == texts[i]);
        CHECK(client.answers[id].aux[i].empty());
    }

    const int32_t bad[] = { 0, 1 << 30 };
    segments[0].data = bad;
    segments[0].size = sizeof(bad);
    CHECK(la_engine_submit(client.engine, &request, &id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 3; }));
    CHECK(client.answers[id].status == LA_ERR_INVALID && client.answers[id].aux.empty());
    CHECK(client.stats().n_queued == 0 && client.stats().n_steps == 0);
}

TEST(a_conversation_is_rendered_without_being_answered) {
    Client client;
    CHECK(client.load());
    Ask ask("Hi <|im_end|>");
    ask.request.task = LA_TASK_RENDER;
    uint64_t id = 0;
    CHECK(ask.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    const Answer & answer = client.answers[id];
    CHECK(answer.status == LA_OK && answer.aux.at(0).size() == answer.n_prompt * sizeof(int32_t));
    CHECK(answer.text.at(0).find("Hi <|im_end|>") != std::string::npos); // without the mark that keeps it text
    CHECK(client.stats().n_steps == 0);
}

TEST(a_text_task_refuses_what_it_cannot_take) {
    Client client;
    CHECK(client.load());
    std::string text((size_t(4) << 20) + 1, 'a');
    la_segment segment = { LA_SEGMENT_TEXT, 0, text.data(), text.size() };
    la_request request;
    la_request_init(&request);
    request.segments = &segment;
    request.n_segments = 1;
    request.task = LA_TASK_TOKENIZE;
    uint64_t id = 0;
    CHECK(la_engine_submit(client.engine, &request, &id) == LA_ERR_INVALID);
    CHECK(std::string(la_last_error_param()) == "text");
    segment.size = 8;
    request.task = LA_TASK_DETOKENIZE;
    CHECK(la_engine_submit(client.engine, &request, &id) == LA_ERR_INVALID);
    CHECK(std::string(la_last_error_param()) == "tokens");
    request.task = LA_TASK_RENDER;
    CHECK(la_engine_submit(client.engine, &request, &id) == LA_ERR_INVALID);
    request.task = 6;
    CHECK(la_engine_submit(client.engine, &request, &id) == LA_ERR_INVALID);
}

TEST(streamed_and_whole_answers_are_equal_and_the_prefix_is_reused) {
    Client client(1);
    CHECK(client.load());
    uint64_t whole = 0;
    uint64_t streamed = 0;
    Ask a(k_question, 24, 0);
    Ask b(k_question, 24);
    CHECK(a.submit(client.engine, whole) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    CHECK(b.submit(client.engine, streamed) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 2; }));
    CHECK(client.answers[whole].text.at(0) == client.answers[streamed].text.at(0));
    CHECK(client.answers[whole].n_cached == 0);
    CHECK(client.answers[streamed].n_cached == client.answers[streamed].n_prompt - 1);
}

TEST(several_choices_share_their_prompt) {
    Client client(4, 2048); // a tiny model may need a token for each character
    CHECK(client.load());
    std::string words;
    for (int i = 0; i < 120; ++i) {
        words += "word" + std::to_string(i) + " ";
    }
    Ask ask(words, 8);
    ask.request.n_choices = 3;
    uint64_t id = 0;
    CHECK(ask.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    Answer & answer = client.answers[id];
    CHECK(answer.text.size() == 3);
    CHECK(answer.text[0] == answer.text[1] && answer.text[1] == answer.text[2]); // greedy
    CHECK(answer.n_generated == 24);
    const auto stats = client.stats();
    CHECK(stats.n_prefilled < 2 * uint64_t(answer.n_prompt)); // not three times
    CHECK(stats.n_cached >= uint64_t(answer.n_prompt));
}

TEST(cancel_ends_a_running_request_and_frees_its_slot) {
    Client client(1);
    CHECK(client.load());
    uint64_t id = 0;
    Ask ask("Count to one thousand.", 400);
    ask.request.sampling.ignore_eos = 1;
    CHECK(ask.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.answers[id].text.size() > 0; }));
    CHECK(la_engine_cancel(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    CHECK(client.answers[id].status == LA_ERR_CANCELLED);
    CHECK(client.answers[id].n_generated < 400);
    CHECK(client.stats().n_running == 0);
    Ask next(k_question);
    CHECK(next.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 2; }));
    CHECK(client.answers[id].status == LA_OK);
}

TEST(cancel_stops_a_long_prefill) {
    Client client(1, 4096, {}, 16); // of a hundred steps, that a tiny model cannot be through before it is cancelled
    CHECK(client.load());
    std::string words;
    for (int i = 0; i < 600; ++i) {
        words += "w" + std::to_string(i % 10) + " ";
    }
    Ask ask(words, 4);
    uint64_t id = 0;
    CHECK(ask.submit(client.engine, id) == LA_OK);
    // In the prefill for sure: something was computed, but not all of it.
    CHECK(client.drain_until([&] { return client.n_ended == 1 || client.stats().n_steps > 0; }, 120000, 0));
    CHECK(la_engine_cancel(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    const Answer & answer = client.answers[id];
    CHECK(answer.status == LA_ERR_CANCELLED && answer.text.empty());
    CHECK(client.stats().n_prefilled < uint64_t(answer.n_prompt));
}

TEST(timeouts_end_requests) {
    Client client(1);
    CHECK(client.load());
    Ask ask("Count to one thousand.", 400, 0);
    ask.request.sampling.ignore_eos = 1;
    ask.request.timeout_s = 0.05;
    uint64_t id = 0;
    CHECK(ask.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    CHECK(client.answers[id].status == LA_ERR_TIMEOUT);
}

TEST(bad_requests_end_with_their_parameter_and_harm_nobody) {
    Client client(2);
    CHECK(client.load());
    uint64_t id = 0;
    Ask good(k_question, 16);
    uint64_t good_id = 0;
    CHECK(good.submit(client.engine, good_id) == LA_OK);

    Ask nan(k_question);
    nan.request.sampling.temperature = std::nanf("");
    CHECK(nan.submit(client.engine, id) == LA_ERR_INVALID);
    CHECK(std::string(la_last_error_param()) == "temperature");

    Ask no_tokens(k_question, -2);
    CHECK(no_tokens.submit(client.engine, id) == LA_ERR_INVALID);
    CHECK(std::string(la_last_error_param()) == "max_tokens");

    Ask too_long(k_question, 100000);
    CHECK(too_long.submit(client.engine, id) == LA_OK);
    const uint64_t too_long_id = id;

    Ask huge(std::string(10 << 20, 'a'));
    CHECK(huge.submit(client.engine, id) == LA_ERR_CONTEXT_LENGTH); // not even queued
    Ask large(std::string(800000, 'a'));
    CHECK(large.submit(client.engine, id) == LA_OK);
    const uint64_t large_id = id;

    Ask nothing_left(k_question);
    const std::string yes = "root ::= \"yes\"";
    nothing_left.request.sampling.grammar = { yes.data(), yes.size() };
    nothing_left.request.sampling.ignore_eos = 1;
    CHECK(nothing_left.submit(client.engine, id) == LA_OK);
    const uint64_t nothing_left_id = id;

    Ask grammar(k_question);
    const std::string gbnf = "root ::= (((";
    grammar.request.sampling.grammar = { gbnf.data(), gbnf.size() };
    CHECK(grammar.submit(client.engine, id) == LA_OK);
    const uint64_t grammar_id = id;

    // Too many ways through: upstream would follow 2^30 of them.
    Ask ambiguous(k_question);
    std::string ways = "root ::= r0\nr30 ::= \"a\"\n";
    for (int i = 0; i < 30; ++i) {
        ways += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + " | r" + std::to_string(i + 1) + "\n";
    }
    ambiguous.request.sampling.grammar = { ways.data(), ways.size() };
    CHECK(ambiguous.submit(client.engine, id) == LA_OK);
    const uint64_t ambiguous_id = id;

    CHECK(client.drain_until([&] { return client.n_ended == 6; }));
    CHECK(client.answers[ambiguous_id].status == LA_ERR_GRAMMAR);
    CHECK(client.answers[nothing_left_id].status == LA_ERR_INVALID);
    CHECK(client.answers[too_long_id].status == LA_ERR_CONTEXT_LENGTH);
    CHECK(client.answers[large_id].status == LA_ERR_CONTEXT_LENGTH);
    CHECK(client.answers[grammar_id].status == LA_ERR_GRAMMAR);
    CHECK(client.answers[good_id].status == LA_OK);
}

TEST(a_grammar_is_obeyed) {
    Client client;
    CHECK(client.load());
    Ask ask(k_question, 32);
    const std::string gbnf = "root ::= \"yes\" | \"no\"";
    ask.request.sampling.grammar = { gbnf.data(), gbnf.size() };
    uint64_t id = 0;
    CHECK(ask.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    const std::string text = client.answers[id].text[0];
    CHECK(text == "yes" || text == "no");
}

TEST(the_text_of_a_control_token_stays_text) {
    Client client(1);
    CHECK(client.load());
    uint64_t plain = 0;
    uint64_t control = 0;
    Ask a("x");
    Ask b("<|im_end|>");
    CHECK(a.submit(client.engine, plain) == LA_OK);
    CHECK(b.submit(client.engine, control) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 2; }));
    // One control token would be as long as "x"; spelled out it is several tokens.
    CHECK(client.answers[control].n_prompt > client.answers[plain].n_prompt + 2);
}

// A template that loops: upstream's engine has no limit, and its thread cannot be stopped. It ends by itself after seconds, since a
// process must not exit under it.
TEST(a_preparation_that_does_not_end_harms_nobody) {
    Client client(2, 512,
                  "{% if messages[0]['content'] == 'slow' %}{% for i in range(200) %}{% for j in range(200) %}"
                  "{% for k in range(200) %}{% endfor %}{% endfor %}{% endfor %}{% endif %}{{ messages[0]['content'] }}");
    if (!client.load()) {
        std::printf("    the template cannot be used: %s\n", client.ready_error.c_str());
        CHECK(false);
        return;
    }
    Ask slow("slow");
    slow.request.timeout_s = 0.2;
    uint64_t slow_id = 0;
    CHECK(slow.submit(client.engine, slow_id) == LA_OK);
    Ask cancelled("slow");
    uint64_t cancelled_id = 0;
    CHECK(cancelled.submit(client.engine, cancelled_id) == LA_OK);
    CHECK(la_engine_cancel(client.engine, cancelled_id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 2; }, 5000));
    CHECK(client.answers[slow_id].status == LA_ERR_TIMEOUT);
    CHECK(client.answers[cancelled_id].status == LA_ERR_CANCELLED);
    Ask quick("quick", 4);
    uint64_t quick_id = 0;
    CHECK(quick.submit(client.engine, quick_id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 3; }, 60000));
    CHECK(client.answers[quick_id].status == LA_OK);
    Ask last("slow");
    CHECK(last.submit(client.engine, quick_id) == LA_OK);
    CHECK(la_engine_close(client.engine) == LA_OK);
    CHECK(client.drain_until([&] { return client.closed; }, 10000));
    CHECK(client.n_ended == 4);
}

TEST(closing_ends_everything) {
    Client client(2);
    CHECK(client.load());
    for (int i = 0; i < 40; ++i) {
        uint64_t id = 0;
        Ask ask("Tell me story number " + std::to_string(i), 200);
        CHECK(ask.submit(client.engine, id) == LA_OK);
    }
    CHECK(la_engine_close(client.engine) == LA_OK);
    CHECK(client.drain_until([&] { return client.closed; }));
    CHECK(client.n_ended == 40);
    for (const auto & [id, answer] : client.answers) {
        CHECK(answer.n_ends == 1);
        CHECK(answer.status == LA_ERR_CLOSED || answer.status == LA_OK);
    }
    uint64_t id = 0;
    Ask late(k_question);
    CHECK(late.submit(client.engine, id) == LA_ERR_CLOSED);
    CHECK(la_engine_close(client.engine) == LA_OK);
}

TEST(closing_while_loading) {
    for (int i = 0; i < 5; ++i) {
        Client client;
        if (i % 2) {
            client.drain();
        }
        CHECK(la_engine_close(client.engine) == LA_OK);
        CHECK(client.drain_until([&] { return client.closed; }));
        CHECK(client.ready);
    }
}

TEST(a_bad_file_is_a_load_error) {
    la_engine_params params;
    la_engine_params_init(&params);
    const std::string path = "/nonexistent/model.gguf";
    params.model_path = { path.data(), path.size() };
    la_engine * engine = nullptr;
    CHECK(la_engine_open(&params, &engine) == LA_OK);
    la_engine_close(engine);
    la_engine_free(engine);
    params.n_parallel = 0;
    CHECK(la_engine_open(&params, &engine) == LA_ERR_INVALID);
    CHECK(std::string(la_last_error_param()) == "n_parallel");
}

TEST(two_engines_take_turns) {
    Client a(2);
    Client b(2);
    CHECK(a.load() && b.load());
    uint64_t id = 0;
    for (int i = 0; i < 3; ++i) {
        Ask ask(k_question, 16);
        CHECK(ask.submit(a.engine, id) == LA_OK);
        CHECK(ask.submit(b.engine, id) == LA_OK);
    }
    CHECK(a.drain_until([&] { return a.n_ended == 3; }));
    CHECK(b.drain_until([&] { return b.n_ended == 3; }));
}

// Three threads submit and cancel at random while one drains; then the engine closes under them.
TEST(random_submit_cancel_close_from_many_threads) {
    Client client(4, 256);
    CHECK(client.load());
    std::atomic<int> n_accepted{ 0 };
    std::atomic<bool> closing{ false };
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937 rng(t);
            std::vector<uint64_t> ids;
            for (int i = 0; i < 60; ++i) {
                uint64_t id = 0;
                Ask ask("Say " + std::to_string(rng() % 5), 1 + int(rng() % 12), rng() % 2 ? LA_REQUEST_STREAM : 0);
                ask.request.n_choices = 1 + int(rng() % 3);
                ask.request.sampling.temperature = rng() % 2 ? 0.8f : 0;
                ask.request.sampling.top_logprobs = rng() % 4 ? -1 : 2;
                ask.request.priority = int(rng() % 3);
                const la_status status = ask.submit(client.engine, id);
                CHECK(status == LA_OK || (closing && status == LA_ERR_CLOSED));
                if (status == LA_OK) {
                    ++n_accepted;
                    ids.push_back(id);
                }
                if (!ids.empty() && rng() % 2) {
                    CHECK(la_engine_cancel(client.engine, ids[rng() % ids.size()]) == LA_OK);
                }
                if (t == 0 && i == 50) {
                    closing = true;
                    CHECK(la_engine_close(client.engine) == LA_OK);
                }
            }
        });
    }
    CHECK(client.drain_until([&] { return client.closed; }));
    for (auto & thread : threads) {
        thread.join();
    }
    client.drain();
    CHECK(client.n_ended == n_accepted);
    for (const auto & [id, answer] : client.answers) {
        CHECK(answer.n_ends == 1);
    }
    std::printf("    %d accepted, %d ended\n", n_accepted.load(), client.n_ended);
}

// Ten answers of 70 tokens and more, and cells for two: whoever has to give way, all end, and only once.
TEST(answers_that_do_not_fit_beside_each_other_all_come) {
    Client client(4, 128, {}, 0, 256);
    CHECK(client.load());
    std::mt19937 rng(7);
    std::vector<uint64_t> ids;
    int n_cancelled = 0;
    for (int i = 0; i < 10; ++i) {
        Ask ask("Say " + std::to_string(i), 70 + int(rng() % 15));
        ask.request.sampling.ignore_eos = 1;
        ask.request.priority = int(rng() % 2);
        ids.push_back(0);
        CHECK(ask.submit(client.engine, ids.back()) == LA_OK);
    }
    CHECK(client.drain_until([&] { return client.stats().n_preempted > 0; }, 120000, 10));
    for (const size_t i : { 1, 6, 9 }) {
        n_cancelled += client.answers[ids[i]].n_ends == 0;
        CHECK(la_engine_cancel(client.engine, ids[i]) == LA_OK);
    }
    CHECK(client.drain_until([&] { return client.n_ended == 10; }));
    for (const auto id : ids) {
        const Answer & answer = client.answers[id];
        CHECK(answer.n_ends == 1);
        CHECK(answer.status == LA_ERR_CANCELLED || (answer.status == LA_OK && answer.n_generated >= 70));
    }
    CHECK(client.stats().n_running == 0);
    std::printf("    %d preempted, %d cancelled\n", int(client.stats().n_preempted), n_cancelled);
}

// Prompts of all lengths arrive beside streams, which neither end early nor lose a token; some are no longer wanted.
TEST(streams_go_on_beside_prompts) {
    Client client(5, 1024);
    CHECK(client.load());
    std::mt19937 rng(3);
    const int n_stream_tokens = 300;
    std::vector<uint64_t> streams(3);
    for (size_t i = 0; i < streams.size(); ++i) {
        Ask ask("Count from " + std::to_string(i), n_stream_tokens);
        ask.request.sampling.ignore_eos = 1;
        CHECK(ask.submit(client.engine, streams[i]) == LA_OK);
    }
    CHECK(client.drain_until([&] {
        return std::all_of(streams.begin(), streams.end(), [&](uint64_t id) { return !client.answers[id].text[0].empty(); });
    }));
    std::vector<uint64_t> prompts;
    int n_cancelled = 0;
    const auto n_streaming = [&] {
        return std::count_if(streams.begin(), streams.end(), [&](uint64_t id) { return client.answers[id].n_ends == 0; });
    };
    for (int i = 0; i < 200 && n_streaming() > 0; ++i) {
        std::string text = std::to_string(i);
        for (int word = int(rng() % 90); word > 0; --word) {
            text += " word" + std::to_string(rng() % 10);
        }
        Ask ask(text, 1 + int(rng() % 3));
        ask.request.n_choices = 1 + (rng() % 4 == 0);
        ask.request.timeout_s = rng() % 8 == 0 ? 0.02 : 0;
        ask.request.priority = int(rng() % 2);
        prompts.push_back(0);
        CHECK(ask.submit(client.engine, prompts.back()) == LA_OK);
        const uint64_t id = prompts.back();
        if (rng() % 4 == 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(rng() % 20));
            CHECK(la_engine_cancel(client.engine, id) == LA_OK);
            ++n_cancelled;
        }
        CHECK(client.drain_until([&] { return client.answers[id].n_ends > 0 || rng() % 16 == 0; }, 120000, 5));
    }
    const int n_all = int(streams.size() + prompts.size());
    CHECK(client.drain_until([&] { return client.n_ended == n_all; }));
    for (const uint64_t id : streams) {
        CHECK(client.answers[id].status == LA_OK && client.answers[id].n_generated == n_stream_tokens);
    }
    for (const uint64_t id : prompts) {
        const Answer & answer = client.answers[id];
        CHECK(answer.n_ends == 1);
        CHECK(answer.status == LA_OK || answer.status == LA_ERR_CANCELLED || answer.status == LA_ERR_TIMEOUT);
    }
    CHECK(client.stats().n_running == 0);
    std::printf("    %d prompts, %d cancelled\n", int(prompts.size()), n_cancelled);
}

TEST(closing_ends_a_prompt_beside_a_stream) {
    for (int i = 0; i < 8; ++i) {
        Client client(3, 1024);
        CHECK(client.load());
        std::string text;
        for (int word = 0; word < 80; ++word) {
            text += " word" + std::to_string(word);
        }
        uint64_t stream = 0;
        uint64_t prompt = 0;
        Ask ask("Count", 900);
        ask.request.sampling.ignore_eos = 1;
        CHECK(ask.submit(client.engine, stream) == LA_OK);
        CHECK(client.drain_until([&] { return client.answers[stream].text[0].size() > 20; }));
        Ask late(text, 900);
        CHECK(late.submit(client.engine, prompt) == LA_OK);
        std::this_thread::sleep_for(std::chrono::milliseconds(5 * i));
        CHECK(la_engine_close(client.engine) == LA_OK);
        CHECK(client.drain_until([&] { return client.closed; }));
        CHECK(client.answers[stream].n_ends == 1 && client.answers[prompt].n_ends == 1);
    }
}

// -- embeddings: on a thread of their own, over the same weights -------------------------------------------------------

namespace {

struct Embed {
    std::vector<std::string> texts;
    std::vector<la_segment> segments;
    la_request request = {};

    explicit Embed(std::vector<std::string> inputs) : texts(std::move(inputs)) {
        la_request_init(&request);
        request.task = LA_TASK_EMBED;
        for (const auto & text : texts) {
            segments.push_back({ LA_SEGMENT_TEXT, LA_SEGMENT_ADD_SPECIAL, text.data(), text.size() });
        }
    }

    la_status submit(la_engine * engine, uint64_t & id) {
        request.segments = segments.data();
        request.n_segments = segments.size();
        return la_engine_submit(engine, &request, &id);
    }
};

std::vector<std::string> texts_of(int n, int n_words) {
    std::vector<std::string> texts;
    for (int i = 0; i < n; ++i) {
        std::string text = "text " + std::to_string(i);
        for (int word = 0; word < n_words; ++word) {
            text += " and more";
        }
        texts.push_back(text);
    }
    return texts;
}

} // namespace

TEST(embeddings_have_one_vector_an_input) {
    Client client(2, 256);
    CHECK(client.load());
    uint64_t id = 0;
    Embed embed(texts_of(20, 3));
    CHECK(embed.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    const Answer & answer = client.answers[id];
    CHECK(answer.status == LA_OK);
    CHECK(answer.aux.size() == 20);
    for (const auto & [input, bytes] : answer.aux) {
        std::vector<float> vector(bytes.size() / sizeof(float));
        std::memcpy(vector.data(), bytes.data(), bytes.size());
        double sum = 0;
        for (const float value : vector) {
            sum += double(value) * value;
        }
        CHECK(std::fabs(sum - 1) < 1e-4);
    }
    CHECK(answer.n_prompt >= 20 * 5);

    Embed cut(texts_of(1, 3));
    cut.request.embd_dimensions = 8;
    CHECK(cut.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 2; }));
    CHECK(client.answers[id].aux.at(0).size() == 8 * sizeof(float));
}

TEST(bad_embedding_requests_are_refused) {
    Client client(2, 256);
    CHECK(client.load());
    uint64_t id = 0;
    Embed wide(texts_of(1, 1));
    wide.request.embd_dimensions = 1 << 20;
    CHECK(wide.submit(client.engine, id) == LA_ERR_INVALID);
    CHECK(std::string(la_last_error_param()) == "dimensions");
    Embed norm(texts_of(1, 1));
    norm.request.embd_normalize = 3;
    CHECK(norm.submit(client.engine, id) == LA_ERR_INVALID);
    Embed rank(texts_of(2, 1));
    rank.request.task = LA_TASK_RERANK;
    CHECK(rank.submit(client.engine, id) == LA_ERR_UNSUPPORTED);
    Embed chat(texts_of(1, 1));
    chat.segments[0].kind = LA_SEGMENT_CHAT;
    CHECK(chat.submit(client.engine, id) == LA_ERR_INVALID);
    Embed too_long({ "short", texts_of(1, 400)[0] });
    CHECK(too_long.submit(client.engine, id) == LA_OK);
    CHECK(client.drain_until([&] { return client.n_ended == 1; }));
    CHECK(client.answers[id].status == LA_ERR_CONTEXT_LENGTH);
    CHECK(client.answers[id].param == "input[1]");
}

// Three threads embed, ask and cancel at random while one drains; then the engine closes under them.
TEST(random_embed_generate_cancel_close) {
    Client client(4, 256);
    CHECK(client.load());
    std::atomic<int> n_accepted{ 0 };
    std::atomic<bool> closing{ false };
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937 rng(10 + t);
            std::vector<uint64_t> ids;
            for (int i = 0; i < 40; ++i) {
                uint64_t id = 0;
                la_status status = LA_OK;
                if (rng() % 3) {
                    Embed embed(texts_of(1 + int(rng() % 6), int(rng() % 40)));
                    embed.request.priority = int(rng() % 2);
                    embed.request.timeout_s = rng() % 5 ? 0 : 0.02;
                    status = embed.submit(client.engine, id);
                } else {
                    Ask ask("Say " + std::to_string(rng() % 5), 1 + int(rng() % 12));
                    status = ask.submit(client.engine, id);
                }
                CHECK(status == LA_OK || (closing && status == LA_ERR_CLOSED));
                if (status == LA_OK) {
                    ++n_accepted;
                    ids.push_back(id);
                }
                if (!ids.empty() && rng() % 3 == 0) {
                    CHECK(la_engine_cancel(client.engine, ids[rng() % ids.size()]) == LA_OK);
                }
                if (t == 0 && i == 35) {
                    while (client.stats().n_prefilled < 500) { // some are done
                        std::this_thread::yield();
                    }
                    closing = true;
                    CHECK(la_engine_close(client.engine) == LA_OK);
                }
            }
        });
    }
    CHECK(client.drain_until([&] { return client.closed; }));
    for (auto & thread : threads) {
        thread.join();
    }
    client.drain();
    CHECK(client.n_ended == n_accepted);
    int n_embedded = 0;
    for (const auto & [id, answer] : client.answers) {
        CHECK(answer.n_ends == 1);
        n_embedded += answer.status == LA_OK && !answer.aux.empty();
    }
    std::printf("    %d accepted, %d ended, %d embedded\n", n_accepted.load(), client.n_ended, n_embedded);
}

TEST_MAIN

// A consumer of the C ABI for tests: opens an engine on LLAMA_ASYNC_TEST_MODEL, submits, drains.
#pragma once

#include "llama_async.h"
#include "testing/check.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <poll.h>
#include <string>

namespace la::testing {

struct Answer {
    std::map<int, std::string> text;
    std::map<int, std::string> aux;
    std::map<int, la_finish> finish;
    int n_ends = 0;
    la_status status = LA_OK;
    std::string error;
    std::string param;
    int n_prompt = 0;
    int n_cached = 0;
    int n_generated = 0;
};

// One consumer: drains until a condition holds.
struct Client {
    explicit Client(int n_parallel = 4, int n_ctx = 512, const std::string & chat_template = {}, int n_batch = 0,
                    int n_kv = 0, const std::string & speculative = {}, bool draft_model = false) {
        la_engine_params params;
        la_engine_params_init(&params);
        const char * path = std::getenv("LLAMA_ASYNC_TEST_MODEL");
        CHECK(path != nullptr);
        params.model_path = { path, path ? std::strlen(path) : 0 };
        params.speculation.kinds = { speculative.data(), speculative.size() };
        params.draft_model_path = draft_model ? params.model_path : la_str{ nullptr, 0 };
        params.chat_template = { chat_template.data(), chat_template.size() };
        params.n_parallel = n_parallel;
        params.n_ctx = n_ctx;
        params.n_batch = n_batch;
        params.kv_unified = n_kv > 0;
        params.n_kv = n_kv;
        CHECK(la_engine_open(&params, &engine) == LA_OK);
    }

    ~Client() { la_engine_free(engine); }

    // `poll_ms`: longest wait between two looks; less than the default where no record announces the condition.
    bool drain_until(const std::function<bool()> & done, int timeout_ms = 120000, int poll_ms = 1000) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
        while (!done()) {
            pollfd p = { static_cast<int>(la_engine_wake_fd(engine)), POLLIN, 0 };
            if (std::chrono::steady_clock::now() > end || poll(&p, 1, poll_ms) < 0) {
                return false;
            }
            drain();
        }
        return true;
    }

    void drain() {
        la_drained out;
        CHECK(la_engine_drain(engine, &out) == LA_OK);
        for (size_t i = 0; i < out.n_records; ++i) {
            const la_record & r = out.records[i];
            const std::string text(out.blob + r.text_offset, r.text_size);
            if (r.kind == LA_RECORD_READY) {
                ready = true;
                ready_status = r.status;
                ready_error = text;
            } else if (r.kind == LA_RECORD_CLOSED) {
                closed = true;
            } else if (r.kind == LA_RECORD_DELTA) {
                auto & answer = answers[r.request];
                CHECK(answer.n_ends == 0);
                answer.text[r.choice] += text;
                answer.aux[r.choice].append(out.blob + r.aux_offset, r.aux_size);
                answer.finish[r.choice] = static_cast<la_finish>(r.finish);
            } else if (r.kind == LA_RECORD_END) {
                auto & answer = answers[r.request];
                ++answer.n_ends;
                ++n_ended;
                answer.status = static_cast<la_status>(r.status);
                answer.error = text;
                answer.param.assign(out.blob + r.aux_offset, r.aux_size);
                answer.n_prompt = r.n_prompt;
                answer.n_cached = r.n_cached;
                answer.n_generated = r.n_generated;
            }
        }
    }

    bool load() {
        return drain_until([this] { return ready; }) && ready_status == LA_OK;
    }

    la_stats stats() const {
        la_stats out;
        CHECK(la_engine_stats(engine, &out) == LA_OK);
        return out;
    }

    la_engine * engine = nullptr;
    bool ready = false;
    bool closed = false;
    int ready_status = -1;
    std::string ready_error;
    std::map<uint64_t, Answer> answers;
    int n_ended = 0;
};

struct Ask {
    std::string json;
    la_segment segment = {};
    la_request request = {};

    explicit Ask(const std::string & content, int max_tokens = 16, int flags = LA_REQUEST_STREAM) {
        json = "{\"messages\":[{\"role\":\"user\",\"content\":\"" + content + "\"}]}";
        segment.kind = LA_SEGMENT_CHAT;
        la_request_init(&request);
        request.max_tokens = max_tokens;
        request.flags = flags;
        request.sampling.temperature = 0;
    }

    la_status submit(la_engine * engine, uint64_t & id) {
        segment.data = json.data();
        segment.size = json.size();
        request.segments = &segment;
        request.n_segments = 1;
        return la_engine_submit(engine, &request, &id);
    }
};

} // namespace la::testing

#include "channel/channel.h"
#include "testing/check.h"

#include <atomic>
#include <poll.h>
#include <thread>

using la::Channel;
using la::End;
using la::Mailbox;

namespace {

bool readable(const Channel & channel) {
    pollfd p = { static_cast<int>(channel.fd()), POLLIN, 0 };
    return poll(&p, 1, 0) == 1;
}

std::string text_of(const la_drained & drained, size_t i) {
    return { drained.blob + drained.records[i].text_offset, drained.records[i].text_size };
}

} // namespace

static_assert(sizeof(la_record) == 64, "bindings parse records of 64 bytes");
static_assert(sizeof(la_logprob) == 16, "bindings parse entries of 16 bytes");

TEST(nothing_posted_wakes_nobody) {
    Channel channel;
    channel.wake();
    CHECK(!readable(channel) && channel.n_wakeups() == 0);
}

TEST(wake_ups_coalesce) {
    Channel channel;
    channel.post_engine(LA_RECORD_READY, LA_OK);
    CHECK(!readable(channel));
    channel.wake();
    channel.wake();
    CHECK(readable(channel));
    CHECK(channel.n_wakeups() == 1);
    la_drained out;
    channel.drain(out);
    CHECK(!readable(channel) && out.n_records == 1);
    channel.wake();
    CHECK(!readable(channel));
    channel.post_engine(LA_RECORD_CLOSED, LA_OK);
    channel.wake();
    CHECK(readable(channel));
}

TEST(text_of_a_lagging_consumer_coalesces) {
    Channel channel;
    auto box = std::make_shared<Mailbox>(7, 2);
    channel.post_delta(box, 0, "he", "", 1, LA_FINISH_NONE);
    channel.post_delta(box, 1, "other", "", 1, LA_FINISH_NONE);
    channel.post_delta(box, 0, "llo", "", 1, LA_FINISH_STOP);
    End end;
    end.n_generated = 3;
    channel.post_end(box, end);
    la_drained out;
    channel.drain(out);
    CHECK(out.n_records == 3);
    CHECK(text_of(out, 0) == "hello" && out.records[0].n_tokens == 2 && out.records[0].finish == LA_FINISH_STOP);
    CHECK(text_of(out, 1) == "other" && out.records[1].choice == 1);
    CHECK(out.records[2].kind == LA_RECORD_END && out.records[2].n_generated == 3);
    channel.drain(out);
    CHECK(out.n_records == 0);
    CHECK(channel.n_ended() == 1);
}

TEST(the_prompt_comes_before_the_choices) {
    Channel channel;
    auto box = std::make_shared<Mailbox>(7, 1);
    channel.post_delta(box, 0, "answer", "", 1, LA_FINISH_NONE);
    channel.post_delta(box, -1, "", "scores", 3, LA_FINISH_NONE);
    la_drained out;
    channel.drain(out);
    CHECK(out.n_records == 2 && out.records[0].choice == -1 && out.records[1].choice == 0);
    CHECK(std::string(out.blob + out.records[0].aux_offset, out.records[0].aux_size) == "scores");
    CHECK(out.records[0].n_tokens == 3);
}

TEST(errors_name_their_parameter) {
    Channel channel;
    auto box = std::make_shared<Mailbox>(1, 1);
    End end;
    end.status = LA_ERR_INVALID;
    end.message = "too much";
    end.param = "top_p";
    channel.post_end(box, end);
    la_drained out;
    channel.drain(out);
    CHECK(out.n_records == 1 && text_of(out, 0) == "too much");
    CHECK(std::string(out.blob + out.records[0].aux_offset, out.records[0].aux_size) == "top_p");
}

TEST(load_progress_replaces_itself) {
    Channel channel;
    channel.post_engine(LA_RECORD_LOADING, LA_OK, "", "", 100);
    channel.post_engine(LA_RECORD_LOADING, LA_OK, "", "", 200);
    channel.post_engine(LA_RECORD_READY, LA_OK);
    la_drained out;
    channel.drain(out);
    CHECK(out.n_records == 2 && out.records[0].n_tokens == 200 && out.records[1].kind == LA_RECORD_READY);
}

TEST(nothing_is_lost_between_threads) {
    Channel channel;
    constexpr int n_producers = 3;
    constexpr int n_posts = 20000;
    std::vector<std::thread> producers;
    for (int p = 0; p < n_producers; ++p) {
        producers.emplace_back([&, p] {
            auto box = std::make_shared<Mailbox>(p + 1, 1);
            for (int i = 0; i < n_posts; ++i) {
                channel.post_delta(box, 0, "x", "", 1, LA_FINISH_NONE);
                channel.wake();
            }
            channel.post_end(box, {});
            channel.wake();
        });
    }
    size_t n_bytes = 0;
    int n_ended = 0;
    while (n_ended < n_producers) {
        pollfd p = { static_cast<int>(channel.fd()), POLLIN, 0 };
        if (poll(&p, 1, 10000) != 1) {
            CHECK(!"a wake-up was lost");
            break;
        }
        la_drained out;
        channel.drain(out);
        for (size_t i = 0; i < out.n_records; ++i) {
            n_bytes += out.records[i].text_size;
            n_ended += out.records[i].kind == LA_RECORD_END;
        }
    }
    for (auto & producer : producers) {
        producer.join();
    }
    CHECK(n_bytes == size_t(n_producers) * n_posts);
}

TEST_MAIN

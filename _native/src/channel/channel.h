// What the engine's threads tell the event loop: one mailbox per request, emptied all at once.
//
// A producer never waits for the consumer. When the consumer lags, the text of a request grows in its mailbox, so the
// memory held is bounded by the answers themselves, and the number of records by the number of choices.
#pragma once

#include "channel/part.h"
#include "channel/waker.h"
#include "llama_async.h"

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace la {

// How a request ended; the fields of its LA_RECORD_END.
struct End {
    la_status status = LA_OK;
    std::string message; // of an error
    std::string param;   // the parameter at fault, if one is
    int32_t n_prompt = 0;
    int32_t n_cached = 0;
    int32_t n_generated = 0;
    int32_t n_reasoning = 0;
    bool has_predicted = false;
    la_predicted predicted = { 0, 0 };
    float prompt_ms = 0;
    float decode_ms = 0;
};

// Guarded by the channel's mutex, except for the id.
struct Mailbox {
    Mailbox(uint64_t id, int32_t n_choices) : id(id), choices(n_choices) {}

    struct Choice {
        std::vector<AnswerPart> parts; // before the text
        std::string text;
        std::string aux;
        int32_t n_tokens = 0;
        la_finish finish = LA_FINISH_NONE;
        bool waiting = false; // has something for the consumer
    };

    const uint64_t id;
    Choice prompt; // choice -1
    std::vector<Choice> choices;
    bool queued = false; // in Channel::ready_
    bool ended = false;
    End end;
};

class Channel {
  public:
    // Any thread. `finish` is set with a choice's last delta. `aux`: la_logprob entries, tokens or an embedding. Choice -1
    // is the prompt: what is posted for it is drained before the others'.
    void post_delta(const std::shared_ptr<Mailbox> & mailbox, int32_t choice, std::string_view text,
                    std::string_view aux, int32_t n_tokens, la_finish finish);
    // Any thread: parts of an answer that has more than text. A post_delta follows.
    void post_parts(const std::shared_ptr<Mailbox> & mailbox, int32_t choice, std::vector<AnswerPart> & parts);
    // Any thread, once per request.
    void post_end(const std::shared_ptr<Mailbox> & mailbox, End end);
    // Any thread: a record of the engine itself. Progress replaces progress not yet drained.
    void post_engine(la_record_kind kind, la_status status, std::string message = {}, std::string param = {},
                     int32_t n_tokens = 0);
    // Any thread: tells the consumer, once for everything posted before. Without anything posted it does nothing: an
    // empty wake-up would cost the event loop as much as a token.
    void wake();

    // One consumer at a time: moves all that was posted into `out`, whose memory stays valid until the next call.
    void drain(la_drained & out);

    intptr_t fd() const { return waker_.fd(); }
    uint64_t n_wakeups() const { return waker_.n_wakeups(); }
    uint64_t n_ended() const;

  private:
    struct EngineRecord {
        la_record_kind kind;
        la_status status;
        std::string message;
        std::string param;
        int32_t n_tokens;
    };

    void enqueue(const std::shared_ptr<Mailbox> & mailbox);
    void take(Mailbox & mailbox);
    void take_parts(uint64_t request, int32_t choice, std::vector<AnswerPart> & parts);
    void take(const Mailbox & mailbox, int32_t choice, Mailbox::Choice & box);
    la_record & add_record(la_record_kind kind, uint64_t request);
    void add_blob(std::string_view bytes, uint32_t & offset, uint32_t & size);

    Waker waker_;

    mutable std::mutex mutex_; // guards the mailboxes too
    std::deque<std::shared_ptr<Mailbox>> ready_;
    std::deque<EngineRecord> engine_records_;
    uint64_t n_ended_ = 0;

    // The consumer's own.
    std::vector<la_record> records_;
    std::string blob_;
};

} // namespace la

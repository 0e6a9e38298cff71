// All live requests of an engine: who may still cancel what, and the one place where a request ends.
#pragma once

#include "channel/channel.h"
#include "request/request.h"

#include <atomic>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace la {

// Thread-safe. No lock is held while anything slow happens.
class Requests {
  public:
    explicit Requests(Channel & channel, int32_t max_queue) : channel_(channel), max_queue_(max_queue) {}

    // Throws Error (LA_ERR_QUEUE_FULL).
    RequestPtr add(RequestSpec && spec);

    // Sets the request's cancel flag. Returns false for an unknown (ended) id.
    bool cancel(uint64_t id);

    // The request left the queue for its first slot.
    void mark_admitted(Request & request);

    // Posts the terminal record and forgets the request. Once per request, by the thread that owns it. `error` is used
    // unless status is LA_OK.
    void end(const RequestPtr & request, la_status status, const std::string & error = {},
             const std::string & param = {});

    // The same for a request that another thread still works on: looks at none of its fields.
    void end_unprepared(const RequestPtr & request, la_status status, const std::string & error);

    // Ends whatever is left (the engine closes and nobody owns them any more).
    void end_all(la_status status, const std::string & error);

    // While a batch computes, `watch` counts those of its requests that are not cancelled.
    void enter_batch(const std::vector<Request *> & requests, BatchWatch & watch);
    void leave_batch(const std::vector<Request *> & requests);

    int32_t n_queued() const { return n_queued_.load(std::memory_order_relaxed); }
    uint64_t n_added() const { return n_added_.load(std::memory_order_relaxed); }

  private:
    bool forget(uint64_t id);

    Channel & channel_;
    const int32_t max_queue_;

    mutable std::mutex mutex_;
    std::unordered_map<uint64_t, RequestPtr> live_;
    uint64_t last_id_ = 0;

    std::atomic<int32_t> n_queued_{ 0 };
    std::atomic<uint64_t> n_added_{ 0 };
};

} // namespace la

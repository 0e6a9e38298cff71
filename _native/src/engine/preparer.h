// The preparation thread: renders, tokenizes and compiles grammars, so that neither the event loop nor the decode
// thread ever does.
#pragma once

#include "embedding/traits.h"
#include "model/model.h"
#include "request/requests.h"
#include "sampling/grammar_cache.h"
#include "sequence/sequence.h"
#include "tasks/text_task.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace la {

// Thread-safe. A thread cannot be killed, and upstream's template engine and grammar compiler have no time limit: so a
// job that nobody waits for any more, or that takes too long, is abandoned. Its request ends at once, its thread is left
// to itself, touches nothing of the engine again, and another takes its place.
class Preparer {
  public:
    using Deliver = std::function<void(const RequestPtr &, std::vector<SequencePtr>)>;

    static constexpr double k_max_s = 30;      // a preparation may take
    static constexpr double k_patience_s = 0.5; // before a thread whose request has ended is replaced
    static constexpr int k_max_abandoned = 4;  // threads; past it requests fail instead

    // `deliver` is called on a preparation thread with a request and its sequences, in the order of its choices; a
    // request to embed or to rank has none, but inputs.
    Preparer(Requests & requests, Channel & channel, std::shared_ptr<const Model> model, int32_t n_ctx,
             EmbeddingTraits embedding, Deliver deliver);
    // Ends what was not prepared yet with LA_ERR_CLOSED. Waits for a running job for k_patience_s at most.
    ~Preparer();

    void push(RequestPtr request);
    bool is_busy() const;

    // Ends what was cancelled or timed out before or during its preparation. Call it now and then while is_busy().
    void sweep();

  private:
    struct Job {
        RequestPtr request;
        double start_s = 0;
        bool abandoned = false;
    };

    // Shared with the threads, which may outlive the Preparer. Where not said otherwise guarded by `mutex`.
    struct Shared {
        // Constant.
        std::shared_ptr<const Model> model;
        int32_t n_ctx = 0;
        EmbeddingTraits embedding;

        GrammarCache grammars; // thread-safe

        std::mutex mutex;
        std::condition_variable changed;
        std::deque<RequestPtr> queue;
        std::shared_ptr<Job> job;   // of the current thread; null while it waits or delivers
        uint64_t generation = 0;    // of the current thread: an older one leaves
        bool delivering = false;    // the current thread is using the engine
        bool closing = false;
        int n_abandoned = 0;        // threads that were replaced and have not ended
    };

    void start();
    void answer(const RequestPtr & request, const std::vector<TextResult> & results);
    void run(const std::shared_ptr<Shared> & shared, uint64_t generation);
    void abandon(Job & job, la_status status, const char * error); // REQUIRES: mutex held

    // Used by a thread only while `delivering`.
    Requests & requests_;
    Channel & channel_;
    const Deliver deliver_;

    const std::shared_ptr<Shared> shared_;
    std::thread thread_; // last: everything above exists when it starts
};

} // namespace la

// One loaded model that answers requests: owns the threads, the channel and the order in which they start and stop.
#pragma once

#include "channel/channel.h"
#include "engine/decoder.h"
#include "engine/embedder.h"
#include "engine/info.h"
#include "engine/preparer.h"
#include "model/model.h"
#include "request/requests.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace la {

// Thread-safe. The decode thread is created by the constructor; it loads the model, decodes, and at the end frees
// context and model before it posts CLOSED.
class Engine {
  public:
    explicit Engine(EngineConfig config);
    // Closes and joins.
    ~Engine();
    Engine(const Engine &) = delete;
    Engine & operator=(const Engine &) = delete;

    // Throws Error: LA_ERR_NOT_READY, LA_ERR_CLOSED, LA_ERR_QUEUE_FULL, or what the spec is refused for.
    uint64_t submit(const la_request & request);
    void cancel(uint64_t id) { requests_.cancel(id); }
    void close();
    void drain(la_drained & out) { channel_.drain(out); }

    intptr_t wake_fd() const { return channel_.fd(); }
    const std::string & info() const;          // throws Error (LA_ERR_NOT_READY)
    std::shared_ptr<const Model> model() const; // throws Error (LA_ERR_NOT_READY, LA_ERR_CLOSED)
    const std::string & tuning() const;        // throws Error (LA_ERR_NOT_READY)
    const EngineConfig & used() const { return used_; } // REQUIRES: model() did not throw
    la_stats stats() const;

  private:
    void run();
    std::unique_ptr<Decoder> load(); // null: the model cannot generate
    void decode_until_closed(Decoder * decoder);
    void take_turn(Decoder * decoder, std::vector<SequencePtr> & arrived);
    void give_up(Decoder * decoder, std::vector<SequencePtr> & arrived, la_status status, const std::string & error);
    void check_guesses(const RequestSpec & spec) const;
    void check_task(const RequestSpec & spec) const; // REQUIRES: mutex_ held, model loaded
    void sweep(std::unique_lock<std::mutex> & lock);
    void check_size(const RequestSpec & spec) const; // REQUIRES: mutex_ held, model loaded

    const EngineConfig config_;
    EngineConfig used_; // with what was chosen at load; the decode thread's while it loads, then constant
    Channel channel_;
    Requests requests_;
    DecoderStats stats_;
    std::atomic<bool> closing_{ false };

    mutable std::mutex mutex_; // guards what follows
    std::condition_variable changed_;
    std::vector<SequencePtr> inbox_; // prepared, for the decode thread
    std::shared_ptr<const Model> model_;
    EngineLimits limits_;
    EmbeddingTraits embedding_;
    std::unique_ptr<Preparer> preparer_; // null while not ready, and again once closing
    std::unique_ptr<Embedder> embedder_; // the same; outlives the preparer, which delivers to it
    std::string info_;                   // constant once the model is loaded
    std::string tuning_;                 // the same

    std::thread thread_; // last: everything above exists when it starts
};

} // namespace la

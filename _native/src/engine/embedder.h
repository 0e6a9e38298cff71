// Embeddings and ranks: a context, a queue and a thread of their own over the weights that the decoder uses too, since
// pooling, attention without a cache and the rules for batches differ from generation.
#pragma once

#include "embedding/packing.h"
#include "embedding/traits.h"
#include "engine/compute_gate.h"
#include "engine/context.h"
#include "request/requests.h"

#include <atomic>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

namespace la {

struct EmbedderStats {
    std::atomic<int32_t> n_running{ 0 }; // requests of which something was computed
    std::atomic<uint64_t> n_steps{ 0 };
    std::atomic<uint64_t> n_tokens{ 0 };
    std::atomic<double> compute_s{ 0 };
};

// push() and stats() from any thread. The thread starts with the first request; so does the context, for its buffers are
// as large as some models.
class Embedder {
  public:
    // `closing` makes a running step stop early. The references outlive the embedder.
    Embedder(std::shared_ptr<const Model> model, const EngineConfig & config, Threads threads, EmbeddingTraits traits,
             Requests & requests, Channel & channel, const std::atomic<bool> & closing);
    // Joins. What it had not done is left to the caller to end.
    ~Embedder();

    void push(RequestPtr request); // REQUIRES: request->inputs is filled
    const EmbedderStats & stats() const { return stats_; }

  private:
    struct Job {
        RequestPtr request;
        std::vector<int32_t> lengths;
        size_t next = 0;       // the first input not computed yet
        int32_t n_computed = 0; // tokens of it that are: it is being computed in pieces
        std::vector<double> sum; // of their rows, where we pool ourselves
        uint64_t last_served = 0;
        bool failed = false; // one of its results is not finite
    };

    // An input's part of one batch.
    struct Item {
        Job * job;
        size_t input;
        int32_t from;
        int32_t n_tokens;
        llama_seq_id sequence = 0;
        int32_t row = 0; // of its first token

        bool is_last() const { return from + n_tokens == job->lengths[input]; }
    };

    void run();
    bool open();
    void warm_up();
    void accept(std::vector<RequestPtr> arrived);
    void drop_unwanted();
    void end(RequestPtr request, la_status status, const std::string & error = {});
    void step();
    std::vector<Item> plan();
    void compute(std::vector<Item> items);
    int32_t decode(std::vector<Item> & items);
    void end_done();
    void compute_apart(const std::vector<Item> & items);
    void take(const Item & item, std::vector<float> values);
    void add_rows(const Item & item);
    std::vector<float> pooled(const Item & item);
    int32_t n_step_tokens() const;
    void post(const Job & job, size_t input, std::vector<float> values);

    const std::shared_ptr<const Model> model_;
    const EngineConfig & config_;
    const Threads threads_;
    const EmbeddingTraits traits_;
    // Upstream pools the tokens of one graph. What is computed in pieces is summed up here instead.
    const bool pools_itself_;
    const int32_t n_pack_; // most tokens packed into one step
    const int32_t n_sequences_;
    Requests & requests_;
    Channel & channel_;
    const std::atomic<bool> & closing_;
    EmbedderStats stats_;

    // The embedder thread's.
    Context context_;
    llama_batch batch_ = {};
    std::list<Job> jobs_;
    std::vector<Request *> in_batch_;
    BatchWatch watch_;
    double deadline_s_ = 0; // when the last of the batch's requests times out; 0: never
    ComputeGate::Owner turns_;
    mutable std::atomic<bool> aborted_{ false };
    double token_s_ = 0; // what a token costs; 0 while unknown
    uint64_t n_steps_ = 0;
    size_t n_posted_ = 0; // since the last wake-up

    std::mutex mutex_; // guards what follows
    std::condition_variable changed_;
    std::vector<RequestPtr> inbox_;
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace la

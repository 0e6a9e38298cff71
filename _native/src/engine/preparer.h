// The preparation thread: renders, tokenizes and compiles grammars, so that neither the event loop nor the decode
// thread ever does.
#pragma once

#include "model/model.h"
#include "request/requests.h"
#include "sequence/sequence.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace la {

class Preparer {
  public:
    using Deliver = std::function<void(std::vector<SequencePtr>)>;

    // `deliver` is called on the preparation thread with the sequences of one request, in the order of its choices.
    Preparer(Requests & requests, Channel & channel, std::shared_ptr<const Model> model, int32_t n_ctx,
             Deliver deliver);
    // Ends what was not prepared yet with LA_ERR_CLOSED.
    ~Preparer();

    void push(RequestPtr request);

  private:
    void run();
    void prepare(const RequestPtr & request);

    Requests & requests_;
    Channel & channel_;
    const std::shared_ptr<const Model> model_;
    const int32_t n_ctx_;
    const Deliver deliver_;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<RequestPtr> queue_;
    bool closing_ = false;

    std::thread thread_; // last: everything above exists when it starts
};

} // namespace la

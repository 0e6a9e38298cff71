#include "request/requests.h"

#include "base/error.h"

namespace la {

RequestPtr Requests::add(RequestSpec && spec) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (n_queued_.load(std::memory_order_relaxed) >= max_queue_) {
        throw Error(LA_ERR_QUEUE_FULL, "the queue is full: " + std::to_string(max_queue_) + " requests are waiting");
    }
    auto request = std::make_shared<Request>(++last_id_, std::move(spec));
    live_.emplace(request->id, request);
    n_queued_.fetch_add(1, std::memory_order_relaxed);
    n_added_.fetch_add(1, std::memory_order_relaxed);
    return request;
}

bool Requests::cancel(uint64_t id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = live_.find(id);
    if (found == live_.end()) {
        return false;
    }
    auto & request = *found->second;
    if (!request.cancelled.exchange(true) && request.batch) {
        request.batch->n_wanting.fetch_sub(1, std::memory_order_relaxed);
    }
    return true;
}

void Requests::mark_admitted(Request & request) {
    if (!request.admitted) {
        request.admitted = true;
        n_queued_.fetch_sub(1, std::memory_order_relaxed);
    }
}

void Requests::end(const RequestPtr & request, la_status status, const std::string & error, const std::string & param) {
    if (!forget(request->id)) {
        return; // ended before: n choices may fail one after the other
    }
    if (!request->admitted) {
        n_queued_.fetch_sub(1, std::memory_order_relaxed);
    }
    End end;
    end.status = status;
    if (status != LA_OK) {
        end.message = error;
        end.param = param;
    }
    end.n_prompt = request->n_prompt();
    end.n_cached = request->n_cached;
    end.n_generated = request->n_generated;
    end.n_reasoning = request->n_reasoning;
    end.has_predicted = status == LA_OK && !request->spec.prediction.empty();
    end.predicted = request->predicted;
    if (request->first_token_s > 0) {
        end.prompt_ms = static_cast<float>(1e3 * (request->first_token_s - request->submit_s));
        end.decode_ms = static_cast<float>(1e3 * (request->last_token_s - request->first_token_s));
    }
    channel_.post_end(request->mailbox, std::move(end));
}

bool Requests::forget(uint64_t id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return live_.erase(id) > 0;
}

void Requests::end_unprepared(const RequestPtr & request, la_status status, const std::string & error) {
    if (forget(request->id)) {
        n_queued_.fetch_sub(1, std::memory_order_relaxed);
        End end;
        end.status = status;
        end.message = error;
        channel_.post_end(request->mailbox, std::move(end));
    }
}

void Requests::end_all(la_status status, const std::string & error) {
    std::vector<RequestPtr> left;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (const auto & [id, request] : live_) {
            left.push_back(request);
        }
    }
    for (const auto & request : left) {
        end(request, status, error);
    }
}

void Requests::enter_batch(const std::vector<Request *> & requests, BatchWatch & watch) {
    const std::lock_guard<std::mutex> lock(mutex_);
    int32_t n = 0;
    for (Request * request : requests) {
        request->batch = &watch;
        n += !request->cancelled.load(std::memory_order_relaxed);
    }
    watch.n_wanting.store(n, std::memory_order_relaxed);
}

void Requests::leave_batch(const std::vector<Request *> & requests) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (Request * request : requests) {
        request->batch = nullptr;
    }
}

} // namespace la

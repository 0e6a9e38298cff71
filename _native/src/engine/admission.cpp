#include "engine/admission.h"

#include <algorithm>

namespace la {

static bool is_older(const SequencePtr & a, const SequencePtr & b) {
    return a->request->id != b->request->id ? a->request->id < b->request->id : a->choice < b->choice;
}

static bool is_before(const SequencePtr & a, const SequencePtr & b) {
    if (a->favoured != b->favoured) {
        return a->favoured;
    }
    const int32_t of_a = a->request->spec.priority;
    const int32_t of_b = b->request->spec.priority;
    return of_a != of_b ? of_a > of_b : is_older(a, b);
}

void AdmissionQueue::add(SequencePtr && sequence) {
    const auto place = std::upper_bound(waiting_.begin(), waiting_.end(), sequence, is_before);
    waiting_.insert(place, std::move(sequence));
}

SequencePtr AdmissionQueue::take(size_t index) {
    const auto place = waiting_.begin() + static_cast<std::ptrdiff_t>(index);
    SequencePtr sequence = std::move(*place);
    waiting_.erase(place);
    n_taken_ = sequence->favoured ? 0 : n_taken_ + 1;
    return sequence;
}

void AdmissionQueue::remove(const RequestPtr & request) {
    waiting_.erase(std::remove_if(waiting_.begin(), waiting_.end(),
                                  [&](const SequencePtr & sequence) { return sequence->request == request; }),
                   waiting_.end());
}

void AdmissionQueue::favour_oldest() {
    if (waiting_.empty() || n_taken_ < k_fair_share - 1 || waiting_.front()->favoured) {
        return;
    }
    const auto oldest = std::min_element(waiting_.begin(), waiting_.end(), is_older);
    (*oldest)->favoured = true;
    std::rotate(waiting_.begin(), oldest, oldest + 1);
}

} // namespace la

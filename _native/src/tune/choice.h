// Which candidate a few timings speak for. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace la {

// Seconds that a candidate took, each time it was tried.
class Samples {
  public:
    void add(double seconds) { seconds_.push_back(seconds); }
    bool empty() const { return seconds_.empty(); }
    size_t size() const { return seconds_.size(); }
    double best() const;   // REQUIRES: !empty()
    double median() const; // REQUIRES: !empty()

  private:
    std::vector<double> seconds_;
};

// How much faster than the default another must be, by the number of samples there are of each. Candidates take turns within
// a second, but even then the pace of a quiet machine changes by a tenth; a busy one's by more.
double margin_for(size_t n_samples, bool busy);

// The index of the candidate to take: the first, which is the default, unless another is faster by `margin` both at its
// best and in the median. Of several the one with the best median. Candidates without samples are out.
size_t choose(const std::vector<Samples> & candidates, double margin);

// Numbers of threads worth trying where `n` is the default, which comes first. More than the cores never win; fewer do
// where memory, not arithmetic, is what a step waits for.
std::vector<int32_t> thread_candidates(int32_t n);

} // namespace la

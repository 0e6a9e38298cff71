// What a request says its answer will probably be, and how far the answer has followed it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace la {

class Prediction {
  public:
    explicit Prediction(std::vector<int32_t> tokens) : tokens_(std::move(tokens)) {}

    // A token was generated.
    void note(int32_t token);

    // Appends what comes next if the answer goes on as predicted, n tokens at most; nothing while it does not.
    void guess(int32_t n, std::vector<int32_t> & out) const;

    // Tokens of the prediction that the answer has said, and the others.
    int32_t n_said() const;
    int32_t n_unsaid() const { return static_cast<int32_t>(tokens_.size()) - n_said(); }

  private:
    // Where the answer is back on the prediction, after so many tokens that agree: few close by, more elsewhere.
    static constexpr size_t k_agree_near = 2;
    static constexpr size_t k_agree = 4;
    static constexpr size_t k_near = 64;

    bool ends_at(size_t place, size_t n) const;
    bool find(size_t from, size_t to, size_t n);

    std::vector<int32_t> tokens_;
    size_t at_ = 0; // what is expected next
    bool follows_ = true;
    std::vector<int32_t> recent_; // the last k_agree generated tokens
    size_t n_said_ = 0;
};

} // namespace la

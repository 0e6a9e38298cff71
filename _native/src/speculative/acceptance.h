// How well one sequence's guesses come true, and what more of them it may risk. Pure: no clock, no llama.h, no locks.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace la {

// How likely the next guessed token is right depends most on how many were right in a row until now: what has followed an
// earlier text for sixteen tokens goes on with it, what has just been found often does not. So it is learned by that, from
// tokens that were computed as guesses, and from those that were not: a guess that was left costs nothing and is judged by
// the next token all the same.
//
// Costs and gains are counted in tokens: what a guess costs is what all streams could have had in the same time. The account
// never lets a sequence lose more than its first allowance and a hundredth of its own tokens, however wrong its guesses are.
class Acceptance {
  public:
    // p_first, p_long: how likely a guess's next token is right with none right before it, and after a long row of them,
    // before any was seen. allowance: tokens that may be lost to find out.
    Acceptance(double p_first, double p_long, double allowance);

    // How likely the next guessed token is right.
    double p() const { return seen_[class_of(n_row_)].p(); }
    // How many of n guessed tokens are right, on average.
    double expected(int32_t n) const;
    // Tokens that a wrong guess may cost now.
    double affordable() const { return account_; }

    // A token was generated.
    void note_token() { earn(k_share); }
    // A guess was there and not tried; its first token would have been right, or not. It costs nothing to know.
    void note_untried(bool right) { see(right); }
    // There was no guess to judge: what was seen fades.
    void note_idle();
    // Of n guessed tokens n_right were right; all together cost as much as so many tokens.
    void note(int32_t n, int32_t n_right, double cost);

  private:
    static constexpr int k_n_classes = 6;    // of rows: 0, 1, 2..3, 4..7, 8..15, more
    static constexpr double k_prior = 3;     // tokens that the first estimate counts for
    static constexpr double k_share = 0.01;  // of its tokens may be lost for nothing
    // Of what was seen, with each token of the kind: texts change. How rarely a long row ends takes longer to learn.
    static constexpr double k_forget = 0.93;
    static constexpr double k_forget_long = 0.98;
    static constexpr int k_long = 4;         // class
    static constexpr double k_fade = 0.02;   // of what was seen, with each token that nothing was guessed for
    static constexpr double k_most = 16;     // tokens: what was gained long ago pays for nothing now
    static constexpr double k_least = -1;    // a step that was preempted is not the guess's fault

    struct Seen {
        double n_right = 0;
        double n_wrong = 0;

        double p() const { return n_right / (n_right + n_wrong); }
    };

    static int class_of(int32_t n_row);
    Seen prior(int row_class) const;
    void see(bool right);
    void earn(double tokens) { account_ = std::clamp(account_ + tokens, k_least, k_most); }

    const double p_first_;
    const double p_long_;
    std::array<Seen, k_n_classes> seen_;
    int32_t n_row_ = 0; // right in a row until now
    double account_;
};

} // namespace la

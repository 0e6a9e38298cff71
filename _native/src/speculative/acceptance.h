// How well one sequence's guesses come true, and what more of them it may risk. Pure: no clock, no llama.h, no locks.
#pragma once

#include <cstdint>

namespace la {

// Costs and gains are counted in tokens: what a guess costs is what all streams could have had in the same time. The account
// never lets a sequence lose more than its first allowance and a hundredth of its own tokens, however wrong its guesses are.
class Acceptance {
  public:
    // p: how likely a guess's next token is right, before any was tried. allowance: tokens that may be lost to find out.
    Acceptance(double p, double allowance)
        : prior_(p), n_right_(k_prior * p), n_wrong_(k_prior * (1 - p)), account_(allowance) {}

    // How likely the next guessed token is right, if those before it were.
    double p() const { return n_right_ / (n_right_ + n_wrong_); }
    // How many of n guessed tokens are right, on average.
    double expected(int32_t n) const;
    // Tokens that a wrong guess may cost now.
    double affordable() const { return account_; }

    // A token was generated.
    void note_token() { earn(k_share); }
    // A guess was there and not tried; its first token would have been right, or not. It costs nothing to know.
    void note_untried(bool right);
    // Nobody knows what a guess would have been: what was seen fades.
    void note_idle();
    // Of n guessed tokens n_right were right; all together cost as much as so many tokens.
    void note(int32_t n, int32_t n_right, double cost);

  private:
    static constexpr double k_prior = 3;    // tokens that the first estimate counts for
    static constexpr double k_share = 0.01; // of its tokens may be lost for nothing
    static constexpr double k_forget = 0.9; // of what was seen, with each guess: texts change
    static constexpr double k_fade = 0.02;  // of what was seen, with each token that nothing was guessed for
    static constexpr double k_most = 8;     // tokens: what was gained long ago pays for nothing now

    void earn(double tokens) { account_ = account_ + tokens < k_most ? account_ + tokens : k_most; }

    double prior_;
    double n_right_;
    double n_wrong_;
    double account_;
};

} // namespace la

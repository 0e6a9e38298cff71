// What is fed with bytes that somebody else wrote. Each target either takes its input or refuses it by an exception of
// ours; anything else (a crash, another exception, a lost answer) is a finding.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace la::fuzz {

struct Target {
    const char * name;
    std::function<void(std::string_view)> run;
    // What to begin with: each is taken as it is.
    std::vector<std::string> seeds;
    // Pieces that mean something to it, to be put in at random.
    std::vector<std::string> words;
};

// All of them. `model_path`: any model with a vocabulary. Templates come from upstream's source.
std::vector<Target> all_targets(const std::string & model_path);

} // namespace la::fuzz

// The chat templates of the pinned source, which LA_UPSTREAM_DIR names, for tests that go through all of them.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace la::testing {

// Names and texts; empty when the source is not here.
inline std::vector<std::pair<std::string, std::string>> upstream_templates() {
    std::vector<std::pair<std::string, std::string>> all;
    const char * upstream = std::getenv("LA_UPSTREAM_DIR");
    if (!upstream || !*upstream) {
        return all;
    }
    for (const auto & entry : std::filesystem::directory_iterator(std::filesystem::path(upstream) / "models" / "templates")) {
        if (entry.path().extension() == ".jinja") {
            std::ifstream file(entry.path());
            std::stringstream text;
            text << file.rdbuf();
            all.emplace_back(entry.path().stem().string(), text.str());
        }
    }
    std::sort(all.begin(), all.end());
    return all;
}

} // namespace la::testing

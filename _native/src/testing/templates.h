// The chat templates of the pinned source, which LA_UPSTREAM_DIR names, for tests that go through all of them.
#pragma once

#include "chat/answer.h"
#include "chat/template.h"
#include "log/log_ring.h"

#include "chat.h" // common's

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
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
            std::ifstream file(entry.path(), std::ios::binary);
            std::stringstream text;
            text << file.rdbuf();
            all.emplace_back(entry.path().stem().string(), text.str());
        }
    }
    std::sort(all.begin(), all.end());
    return all;
}

struct Template {
    std::string name;
    ChatTemplatePtr chat;
};

// Those that can call tools.
inline const std::vector<Template> & calling_templates() {
    static const std::vector<Template> all = [] {
        install_log();
        std::vector<Template> found;
        for (const auto & [name, text] : upstream_templates()) {
            auto chat = compile_template(nullptr, text);
            if (common_chat_templates_get_caps(chat->compiled.get()).at("supports_tool_calls")) {
                found.push_back({ name, std::move(chat) });
            }
        }
        return found;
    }();
    return all;
}

// The format that reads what such a template's model answers. `begun`: what of the answer stands in the prompt already.
inline AnswerFormatPtr calling_format(const common_chat_params & params, const std::string & begun) {
    auto format = std::make_shared<AnswerFormat>();
    format->parser = common_chat_parser_params(params);
    format->parser.generation_prompt = begun;
    format->parser.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    format->parser.parser.load(params.parser);
    format->calls = true;
    format->late_ids = has_late_ids(format->parser.parser);
    return format;
}

} // namespace la::testing

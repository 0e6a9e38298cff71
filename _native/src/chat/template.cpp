#include "chat/template.h"

#include "base/error.h"
#include "chat/template_budget.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <stdexcept>

namespace la {

namespace {

std::vector<std::string> read_stops(const std::string & source) {
    constexpr size_t k_max_stops = 8;
    const std::string head = "{#- stop:";
    if (source.compare(0, head.size(), head) != 0) {
        return {};
    }
    const size_t end = source.find("#}");
    if (end == std::string::npos) {
        throw std::runtime_error("its first comment does not end");
    }
    std::string list = source.substr(head.size(), end - head.size());
    if (!list.empty() && list.back() == '-') {
        list.pop_back();
    }
    const auto stops = nlohmann::json::parse(list, nullptr, false);
    const bool texts = stops.is_array() && stops.size() <= k_max_stops &&
                       std::all_of(stops.begin(), stops.end(), [](const auto & stop) {
                           return stop.is_string() && !stop.template get_ref<const std::string &>().empty();
                       });
    if (!texts) {
        throw std::runtime_error("stop in its first comment must be a JSON list of up to " +
                                 std::to_string(k_max_stops) + " texts");
    }
    return stops;
}

TemplateTraits traits_of(const common_chat_templates * compiled) {
    const auto capabilities = common_chat_templates_get_caps(compiled);
    const auto can = [&](const char * name) {
        const auto found = capabilities.find(name);
        return found != capabilities.end() && found->second;
    };
    std::string source = common_chat_templates_source(compiled, "tool_use");
    if (source.empty()) {
        source = common_chat_templates_source(compiled);
    }
    const auto has = [&](const char * text) { return source.find(text) != std::string::npos; };
    TemplateTraits traits;
    traits.lists_tools = can("supports_tools");
    traits.renders_calls = can("supports_tool_calls");
    traits.python_calls = traits.lists_tools && !traits.renders_calls && has("List of tools: ");
    traits.parallel_calls = traits.python_calls || can("supports_parallel_tool_calls");
    traits.reads_functions = !traits.lists_tools && has("functools[");
    traits.drops_content = has("[SYSTEM_PROMPT]") && has("[ARGS]") && !has("[CALL_ID]") && !has("[THINK]");
    return traits;
}

} // namespace

ChatTemplatePtr compile_template(const llama_model * weights, const std::string & source) {
    std::string text = source;
    if (source.empty()) {
        const char * own = llama_model_chat_template(weights, nullptr);
        text = own ? own : "";
    }
    auto compiled = std::make_shared<ChatTemplate>();
    compiled->stops = read_stops(text);
    const TemplateBudget budget; // of a request's own template: that of its rendering
    try {
        compiled->compiled = common_chat_templates_init(weights, source);
        if (!common_chat_templates_was_explicit(compiled->compiled.get())) {
            return nullptr; // upstream falls back to ChatML, with which a base model would answer nonsense
        }
        compiled->traits = traits_of(compiled->compiled.get());
    } catch (const std::exception & e) {
        throw std::runtime_error(budget.reason().empty() ? e.what() : "it " + budget.reason());
    }
    if (!budget.reason().empty()) {
        throw std::runtime_error("it " + budget.reason()); // met while upstream tried out what the template can
    }
    return compiled;
}

ChatTemplatePtr TemplateCache::find(const std::string & source) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
        if (entry->source == source) {
            entries_.splice(entries_.begin(), entries_, entry);
            return entry->compiled;
        }
    }
    return nullptr;
}

ChatTemplatePtr TemplateCache::get(const llama_model * weights, const std::string & source) {
    if (source.empty()) {
        throw Error(LA_ERR_INVALID, "chat_template is empty, but must be a Jinja template", "chat_template");
    }
    if (auto found = find(source)) {
        return found;
    }
    ChatTemplatePtr compiled;
    try {
        compiled = compile_template(weights, source);
    } catch (const Error &) {
        throw;
    } catch (const std::exception & e) {
        throw Error(LA_ERR_INVALID, std::string("chat_template cannot be used: ") + e.what(), "chat_template");
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    entries_.push_front({ source, compiled });
    n_source_bytes_ += source.size();
    while (entries_.size() > k_max_entries || n_source_bytes_ > k_max_source_bytes) {
        n_source_bytes_ -= entries_.back().source.size();
        entries_.pop_back();
    }
    return compiled;
}

} // namespace la

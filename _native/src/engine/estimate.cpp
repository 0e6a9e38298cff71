#include "engine/estimate.h"

#include "engine/context.h"
#include "engine/sliced_context.h"
#include "speculative/draft_model.h"

#include "../src/llama-ext.h" // memory breakdown; relative to common/, as upstream's own common includes it

namespace la {

static void add(const llama_context * context, la_memory & out) {
    for (const auto & [type, bytes] : llama_get_memory_breakdown(context)) {
        out.weights_bytes += bytes.model;
        out.context_bytes += bytes.context;
        out.compute_bytes += bytes.compute;
    }
}

static void add(const EngineConfig & config, la_memory & out, bool is_draft = false) {
    const auto model = Model::load(config, [](float) { return true; }, /* dry */ true);
    // Nothing is computed: no pool.
    const Threads none = { nullptr, nullptr, 1, 1 };
    const Context context = make_context(*model, config, context_shape(*model, config), none, /* dry */ true);
    add(context.llama.get(), out);
    if (!is_draft && SlicedContext::is_possible(*model, config, context)) {
        la_memory beside = {};
        add(SlicedContext(*model, config, context).llama(), beside);
        out.compute_bytes += beside.compute_bytes;
    }
}

la_memory estimate(const EngineConfig & config) {
    la_memory out = {};
    out.struct_size = sizeof(out);
    add(config, out);
    if (!config.draft_model_path.empty()) {
        add(DraftModel::config_of(config), out, /* is_draft */ true);
    }
    return out;
}

} // namespace la

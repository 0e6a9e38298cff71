#include "embedding/vector.h"
#include "testing/check.h"

#include <cmath>
#include <limits>

using namespace la;

namespace {

std::vector<float> finished(std::vector<float> values, int32_t n_dimensions, int32_t norm) {
    finish_embedding(values, n_dimensions, norm);
    return values;
}

bool near(const std::vector<float> & values, const std::vector<float> & expected) {
    if (values.size() != expected.size()) {
        return false;
    }
    for (size_t i = 0; i < values.size(); ++i) {
        if (std::fabs(values[i] - expected[i]) > 1e-4f * std::max(1.0f, std::fabs(expected[i]))) {
            return false;
        }
    }
    return true;
}

} // namespace

TEST(norms) {
    CHECK(near(finished({ 3, -4 }, 0, -1), { 3, -4 }));
    CHECK(near(finished({ 3, -4 }, 0, 0), { 24570, -32760 }));
    CHECK(near(finished({ 3, -5 }, 0, 1), { 0.375f, -0.625f }));
    CHECK(near(finished({ 3, -4 }, 0, 2), { 0.6f, -0.8f }));
    CHECK(near(finished({ 0, 0 }, 0, 2), { 0, 0 }));
}

TEST(dimensions_are_cut_before_the_norm) {
    CHECK(near(finished({ 3, -4, 12 }, 2, 2), { 0.6f, -0.8f }));
    CHECK(near(finished({ 3, -4, 12 }, 3, 2), { 3.0f / 13, -4.0f / 13, 12.0f / 13 }));
    CHECK(near(finished({ 3, -4, 12 }, 1, -1), { 3 }));
}

TEST(what_is_not_finite_is_seen) {
    CHECK(is_finite({ 1, -1, 0 }));
    CHECK(!is_finite({ 1, std::numeric_limits<float>::quiet_NaN() }));
    CHECK(!is_finite({ std::numeric_limits<float>::infinity() }));
}

TEST_MAIN

#include "testing/check.h"
#include "text/utf8.h"

#include <random>

using la::Utf8Assembler;

namespace {

const std::string k_text = u8"a\u00e9\u20ac\U0001F600 z\u4e2d\u6587\U0001F469\u200D\U0001F4BB.";

std::string assemble(const std::vector<std::string> & pieces) {
    Utf8Assembler assembler;
    std::string out;
    for (const auto & piece : pieces) {
        std::string delta;
        assembler.push(piece, delta);
        CHECK(la::is_valid_utf8(delta));
        out += delta;
    }
    assembler.flush(out);
    return out;
}

} // namespace

TEST(every_two_way_split_is_reassembled) {
    for (size_t i = 0; i <= k_text.size(); ++i) {
        CHECK(assemble({ k_text.substr(0, i), k_text.substr(i) }) == k_text);
    }
}

TEST(byte_by_byte_is_reassembled) {
    std::vector<std::string> pieces;
    for (char c : k_text) {
        pieces.emplace_back(1, c);
    }
    CHECK(assemble(pieces) == k_text);
}

TEST(incomplete_end_becomes_one_replacement) {
    CHECK(assemble({ "x\xF0\x9F", "\x98" }) == "x\xEF\xBF\xBD");
}

TEST(invalid_bytes_are_replaced_by_maximal_subpart) {
    // The example of Unicode 15, table 3-11: 61 F1 80 80 E1 80 C2 62 80 63 80 BF 64.
    const std::string r = "\xEF\xBF\xBD";
    CHECK(assemble({ "\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64" }) ==
          "a" + r + r + r + "b" + r + "c" + r + r + "d");
}

TEST(overlong_and_surrogates_are_invalid) {
    CHECK(!la::is_valid_utf8("\xC0\x80"));
    CHECK(!la::is_valid_utf8("\xE0\x80\x80"));
    CHECK(!la::is_valid_utf8("\xED\xA0\x80"));
    CHECK(!la::is_valid_utf8("\xF4\x90\x80\x80"));
    CHECK(la::is_valid_utf8("\xED\x9F\xBF"));
}

TEST(random_bytes_do_not_depend_on_the_split) {
    std::mt19937 rng(7);
    for (int round = 0; round < 2000; ++round) {
        std::string bytes(rng() % 24, '\0');
        for (auto & c : bytes) {
            c = static_cast<char>(rng() % 4 ? 0x80 + rng() % 128 : rng() % 128);
        }
        std::vector<std::string> pieces;
        for (size_t i = 0; i < bytes.size();) {
            const size_t n = 1 + rng() % 4;
            pieces.push_back(bytes.substr(i, n));
            i += n;
        }
        CHECK(assemble(pieces) == assemble({ bytes }));
    }
}

TEST_MAIN

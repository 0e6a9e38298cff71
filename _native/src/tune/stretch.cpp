#include "tune/stretch.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace la {

namespace {

struct Unknown : std::runtime_error {
    Unknown() : std::runtime_error("a state of an unknown layout") {}
};

class Reader {
  public:
    explicit Reader(const std::vector<uint8_t> & data) : data_(data) {}

    bool at_end() const { return at_ == data_.size(); }

    const uint8_t * bytes(uint64_t n) {
        if (n > data_.size() - at_) {
            throw Unknown();
        }
        const uint8_t * p = data_.data() + at_;
        at_ += static_cast<size_t>(n);
        return p;
    }

    template <typename T> T take() {
        T value;
        std::memcpy(&value, bytes(sizeof(T)), sizeof(T));
        return value;
    }

  private:
    const std::vector<uint8_t> & data_;
    size_t at_ = 0;
};

class Writer {
  public:
    template <typename T> void put(T value) { bytes(reinterpret_cast<const uint8_t *>(&value), sizeof(T)); }
    void bytes(const uint8_t * p, size_t n) { data_.insert(data_.end(), p, p + n); }

    // `n_from` rows, again and again, until there are `n_to`.
    void repeat(const uint8_t * rows, size_t row_bytes, size_t n_from, size_t n_to) {
        for (size_t n = 0; n < n_to; n += n_from) {
            bytes(rows, row_bytes * std::min(n_from, n_to - n));
        }
    }

    std::vector<uint8_t> take() { return std::move(data_); }

  private:
    std::vector<uint8_t> data_;
};

// One cache's part. Its cells become positions first .. first + n - 1.
void stretch_cache(Reader & in, Writer & out, int32_t first, int32_t n) {
    const auto n_stream = in.take<uint32_t>();
    if (n_stream == 0 || n_stream > 256) {
        throw Unknown();
    }
    out.put(n_stream);
    bool found = false;
    for (uint32_t stream = 0; stream < n_stream; ++stream) {
        const auto n_cells = in.take<uint32_t>();
        if (n_cells == 0) {
            out.put(n_cells);
            continue;
        }
        if (found) {
            throw Unknown(); // a sequence lives in one stream
        }
        found = true;
        out.put(static_cast<uint32_t>(n));
        int32_t sequence = 0;
        for (uint32_t cell = 0; cell < n_cells; ++cell) {
            const auto pos = in.take<int32_t>();
            const auto n_sequences = in.take<uint32_t>();
            sequence = in.take<int32_t>();
            // Anything else: cells that carry more than this, or a window that has moved on.
            if (pos != static_cast<int32_t>(cell) || n_sequences != 1 || sequence < 0 || sequence > 255) {
                throw Unknown();
            }
        }
        for (int32_t cell = 0; cell < n; ++cell) {
            out.put(first + cell);
            out.put(uint32_t(1));
            out.put(sequence);
        }
        const auto transposed = in.take<uint32_t>();
        const auto n_layer = in.take<uint32_t>();
        if (transposed > 1) {
            throw Unknown();
        }
        out.put(transposed);
        out.put(n_layer);
        const auto rows = [&] {
            const auto type = in.take<int32_t>();
            const auto row_bytes = in.take<uint64_t>();
            if (row_bytes == 0 || row_bytes > (uint64_t(1) << 24)) {
                throw Unknown();
            }
            out.put(type);
            out.put(row_bytes);
            out.repeat(in.bytes(row_bytes * n_cells), static_cast<size_t>(row_bytes), n_cells, static_cast<size_t>(n));
        };
        for (uint32_t layer = 0; layer < n_layer; ++layer) {
            rows();
        }
        // Some architectures keep keys only.
        for (uint32_t layer = 0; layer < n_layer && !in.at_end(); ++layer) {
            if (transposed == 0) {
                rows();
                continue;
            }
            const auto type = in.take<int32_t>();
            const auto item_bytes = in.take<uint32_t>();
            const auto n_rows = in.take<uint32_t>();
            if (item_bytes == 0 || item_bytes > 64) {
                throw Unknown();
            }
            out.put(type);
            out.put(item_bytes);
            out.put(n_rows);
            for (uint32_t row = 0; row < n_rows; ++row) {
                out.repeat(in.bytes(uint64_t(item_bytes) * n_cells), item_bytes, n_cells, static_cast<size_t>(n));
            }
        }
    }
    if (!found) {
        throw Unknown();
    }
}

} // namespace

std::vector<uint8_t> stretch_state(const std::vector<uint8_t> & state, int32_t n, int32_t n_window) {
    try {
        Reader in(state);
        Writer out;
        out.put(in.take<uint32_t>()); // a mark
        out.put(in.take<int32_t>());  // the sequence
        stretch_cache(in, out, 0, n);
        if (!in.at_end()) {
            if (n_window <= 0) {
                throw Unknown();
            }
            const int32_t n_kept = std::min(n, n_window);
            stretch_cache(in, out, n - n_kept, n_kept);
        }
        if (!in.at_end()) {
            throw Unknown();
        }
        return out.take();
    } catch (const Unknown &) {
        return {};
    }
}

} // namespace la

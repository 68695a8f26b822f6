// Steps that move elements: copies by tables of offsets along each axis, and other shapes.
#include <algorithm>
#include <cstring>

#include "cpu/step.h"
#include "cpu/view_rows.h"

namespace lnx {
namespace {

// Whether a table is one run of neighbours.
bool is_run(const std::vector<int64_t>& table) {
  for (size_t i = 0; i < table.size(); ++i)
    if (table[i] < 0 || table[i] != table[0] + static_cast<int64_t>(i)) return false;
  return true;
}

class RearrangeStep : public Step {
 public:
  explicit RearrangeStep(std::vector<RearrangePiece> pieces) : pieces_(std::move(pieces)) {
    for (const RearrangePiece& piece : pieces_) runs_.push_back(is_run(piece.tables.back()));
  }

  void run(const Frame& frame) const override {
    for (size_t i = 0; i < pieces_.size(); ++i) {
      const RearrangePiece& piece = pieces_[i];
      const bool whole = runs_[i];
      const int rows = static_cast<int>(piece.out.rows());
      frame.split(rows, frame.parts(rows, 2 * piece.out.row_floats()),
                  [&](int begin, int end, int) { run_piece(frame, piece, whole, begin, end); });
    }
  }

 private:
  static void run_piece(const Frame& frame, const RearrangePiece& piece, bool whole, int begin,
                        int end) {
    const View& out = piece.out;
    const int outer = static_cast<int>(out.shape.size()) - 1;
    const std::vector<int64_t>& table = piece.tables.back();
    const int64_t count = out.row_floats();
    for (int64_t row = begin; row < end; ++row) {
      int64_t from = piece.in_offset, to = out.offset, rest = row;
      bool filled = false;
      for (int d = outer - 1; d >= 0; --d) {
        const int64_t i = rest % out.shape[d];
        rest /= out.shape[d];
        filled |= piece.tables[d][i] < 0;
        from += piece.tables[d][i];
        to += i * out.strides[d];
      }
      float* y = frame.arena + to;
      const float* x = frame.arena + from;
      if (filled) {
        std::fill_n(y, count, piece.fill);
      } else if (whole) {
        std::memcpy(y, x + table[0], sizeof(float) * count);
      } else {
        for (int64_t i = 0; i < count; ++i) y[i] = table[i] < 0 ? piece.fill : x[table[i]];
      }
    }
  }

  const std::vector<RearrangePiece> pieces_;
  std::vector<bool> runs_;
};

class ReshapeStep : public Step {
 public:
  ReshapeStep(const Image& in, const Image& out) : in_(in), out_(out) {}

  // Copies what rows of both have in common, run by run.
  void run(const Frame& frame) const override {
    const int64_t total = int64_t{in_.channels} * in_.height * in_.width;
    for (int64_t at = 0; at < total;) {
      const int64_t run = std::min(left(in_, at), left(out_, at));
      std::memcpy(frame.arena + place(out_, at), frame.arena + place(in_, at), sizeof(float) * run);
      at += run;
    }
  }

 private:
  static int64_t left(const Image& i, int64_t at) { return i.width - at % i.width; }
  static int64_t place(const Image& i, int64_t at) {
    const int64_t row = at / i.width;
    return i.offset + row / i.height * i.channel_stride + row % i.height * i.row_stride +
           at % i.width;
  }

  const Image in_, out_;
};

}  // namespace

std::unique_ptr<Step> make_rearrange_step(const std::vector<RearrangePiece>& pieces) {
  return std::make_unique<RearrangeStep>(pieces);
}

std::unique_ptr<Step> make_reshape_step(const Image& in, const Image& out) {
  return std::make_unique<ReshapeStep>(in, out);
}

}  // namespace lnx

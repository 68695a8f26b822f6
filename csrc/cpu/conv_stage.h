// What a staged convolution reads in place of its input, and the weights that go with it.
#pragma once

#include <cstdint>
#include <vector>

#include "lnx/runtime.h"

namespace lnx {

// From as many on threads share the tiles of an image, which each reads its own part of, and not
// the filters, for which all of them read all of it.
constexpr int kTilesPerPart = 3;

// Geometry of the planes that a staged convolution reads: one for each vertical phase in use and
// each column of taps. With the columns' shifts in the planes, taps differ by whole rows only, and
// their loads stay aligned. (For Winograd: of the transformed rows.)
struct ConvStage {
  // Winograd's transformed rows are made and used a band of the image at a time, so that they stay
  // in the second-level cache; threads share the bands, and need no more than their own.
  struct Bands {
    int count = 1;
    int rows = 0, tiles = 0;  // of vectors in the image, and tiles of these
    bool shared = false;      // by threads

    // The first tile of a band, and the first row of a tile.
    int tile(int band) const { return static_cast<int>(int64_t{tiles} * band / count); }
    int row(int tile) const { return static_cast<int>(int64_t{rows} * tile / tiles); }
  };

  std::vector<int32_t> phases, first_rows, shifts, taps;
  int stride_h = 1;
  int rows = 0;
  int row_stride = 0, row_floats = 0;
  int64_t plane_stride = 0;
  int64_t channel_stride = 0;
  int64_t floats = 0;  // of all channels, or of those of one band
  Bands bands;

  ConvStage(const ConvSpec& spec, int lanes, int threads);

 private:
  void transformed_rows(const ConvSpec& spec, int lanes, int threads);
  void phases_of(const ConvSpec& spec);
};

// Offsets of the taps where the input is read as it is.
std::vector<int32_t> direct_taps(const Window& w, int row_stride);

// The 12 weights of the pairs kernel for stride 2 from the 9 of each slice: the upper row of taps,
// its sum with the lower one, the lower one, the middle one.
std::vector<float> strided_weights(const std::vector<float>& values);

// The 18 weights of Winograd's F(4, 3) from the 9 of each slice, three for each point: with `down`
// the points are of weights above each other, else of weights beside each other.
std::vector<float> winograd_weights(const std::vector<float>& values, bool down);

}  // namespace lnx

// A network whose truth is known, for the tests of what is fitted to it.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "common/stats/network_model.hpp"

namespace rackproof::stats::testing {

/// Draws samples as latencies are: skewed, with a long tail upwards, but with a median that is known.
class Machine {
 public:
  explicit Machine(std::uint64_t seed) : random_(seed) {}

  /// exp(sd N(0, 1)): what a size or a run deviates as a whole.
  double effect(double sd) { return std::exp(sd * normal_(random_)); }

  std::vector<double> samples(double median, int count, double spread = 0.05) {
    std::vector<double> times;
    for (int i = 0; i < count; ++i) {
      times.push_back(median * std::exp(spread * (exponential_(random_) - std::log(2.0))));
    }
    return times;
  }

  /// Powers of 2^every from 8 B to 64 MiB, with fewer samples the longer they take; each size deviates by `misfit`.
  std::vector<SizeSamples> sweep(const std::function<double(double)>& time, double misfit = 0.0, int every = 2) {
    std::vector<SizeSamples> sizes;
    for (int exponent = 3; exponent <= 26; exponent += every) {
      const double bytes = std::ldexp(1.0, exponent);
      const int count = exponent < 16 ? 500 : exponent < 22 ? 100 : 20;
      sizes.push_back({bytes, samples(time(bytes) * effect(misfit), count)});
    }
    return sizes;
  }

 private:
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::exponential_distribution<double> exponential_;
};

}  // namespace rackproof::stats::testing

// The time of an all-reduce over ranks and message size, fitted over runs at several rank counts, and what it says of a
// number of ranks that nobody has measured.
//
// t(n, S) = steps(n) alpha + 2 (n-1)/n S beta, in pieces over S; steps(n) = 2 ceil(log2 n) for trees and recursive
// halving, 2 (n-1) for a ring (network_bounds.hpp has the sources): of each piece the one that fits better, where runs
// at three rank counts or more can tell.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/stats/line_fit.hpp"
#include "common/stats/network_model.hpp"
#include "common/stats/order_statistics.hpp"

namespace rackproof::stats {

/// One launch.
struct ScalingRun {
  int ranks = 2;  ///< n >= 2
  std::vector<SizeSamples> sizes;
};

enum class Steps { logarithmic, linear };
/// 2 ceil(log2 n) or 2 (n-1).
[[nodiscard]] double steps(Steps law, int ranks);

struct Prediction {
  double median = 0.0;               ///< s
  std::optional<Interval> interval;  ///< of the median of one further run; none where runs are too few for one
};

class NetworkScaling {
 public:
  /// Sizes that only some runs have are used as well. Throws Error (internal) for fewer than two rank counts, or fewer
  /// than fewest_sizes sizes in all.
  explicit NetworkScaling(std::span<const ScalingRun> runs, int most_segments = 3);

  /// The prediction interval has three sources: the parameters, what single sizes leave unexplained, and what whole
  /// runs do (a launch is fast or slow as a whole, so that n runs are n pieces of evidence and not one a sample): the
  /// mean residual of each run, with Student's t for as few runs as there are (degrees of freedom after Satterthwaite,
  /// Biometrics Bulletin 2, 1946). `error`: relative standard error of the median that is predicted, if it is known.
  [[nodiscard]] Prediction predict(int ranks, double bytes, double confidence = 0.95, double error = 0.0) const;

  struct Piece {
    double first = 0.0;  ///< bytes
    double last = 0.0;
    Steps steps = Steps::logarithmic;
    double alpha = 0.0;  ///< s a step
    double beta = 0.0;   ///< s/B that a rank sends
  };
  [[nodiscard]] std::vector<Piece> pieces() const;

 private:
  struct Evidence {
    Piece piece;
    std::vector<FitPoint> points;
    double scatter = 0.0;         ///< of a size within its run, relative
    double within_freedom = 1.0;  ///< degrees of freedom of scatter
    double run_scatter = 0.0;     ///< of whole runs, relative
    double freedom = 0.0;         ///< degrees of freedom of run_scatter; 0: not known
  };
  [[nodiscard]] const Evidence& evidence_at(double bytes) const;

  std::vector<Evidence> evidence_;
};

/// The run with the most ranks against what all runs with fewer ranks say of it.
struct BackTest {
  int ranks = 0;
  struct Size {
    double bytes = 0.0;
    double measured = 0.0;  ///< s, median
    Prediction predicted;
    [[nodiscard]] bool covered() const {
      return predicted.interval && predicted.interval->low <= measured && measured <= predicted.interval->high;
    }
  };
  std::vector<Size> sizes;
};

/// None where fewer than two rank counts are left without the largest.
[[nodiscard]] std::optional<BackTest> back_test(std::span<const ScalingRun> runs, double confidence = 0.95);

}  // namespace rackproof::stats

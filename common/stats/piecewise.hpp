// Where one line ends and the next begins. Internal to the network models.
#pragma once

#include <cstddef>
#include <vector>

#include "common/stats/line_fit.hpp"

namespace rackproof::stats {

/// Points in groups of one message size, ascending; laws: the same points with other x and y, one of which each piece
/// takes.
struct GroupedPoints {
  std::vector<std::vector<FitPoint>> laws;  ///< each as long as the others; at least one
  std::vector<std::size_t> begin;           ///< of each group, and the end of the last

  [[nodiscard]] std::size_t groups() const { return begin.size() - 1; }
  [[nodiscard]] std::span<const FitPoint> of(std::size_t law, std::size_t first_group, std::size_t end_group) const {
    return std::span(laws[law]).subspan(begin[first_group], begin[end_group] - begin[first_group]);
  }
};

struct Piece {
  std::size_t first = 0;  ///< group
  std::size_t end = 0;    ///< group behind the last
  std::size_t law = 0;
  Line line;
  double cost = 0.0;  ///< sum of |t - line| / (t sigma)

  /// Those that are not held at 0.
  [[nodiscard]] std::size_t parameters() const { return (line.a > 0.0 ? 1U : 0U) + (line.b > 0.0 ? 1U : 0U); }
};

/// Fewest groups in a piece: any two lie on a line.
inline constexpr std::size_t fewest_groups = 3;

/// The pieces with the least criterion (network_model.hpp says which); at least one. At least one group.
[[nodiscard]] std::vector<Piece> divide(const GroupedPoints& points, std::size_t most_pieces);

}  // namespace rackproof::stats

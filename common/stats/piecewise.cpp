#include "common/stats/piecewise.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace rackproof::stats {
namespace {

/// What the search takes for no reason to divide. A line that is right to this is good enough.
constexpr double search_scatter = 0.02;
/// Mean of |N(0, 1)|: mean deviations below it are the medians' own errors.
constexpr double least_mean = 0.7978845608028654;

Piece piece_of(const GroupedPoints& points, std::size_t first, std::size_t end) {
  Piece best;
  for (std::size_t law = 0; law < points.laws.size(); ++law) {
    const std::span<const FitPoint> those = points.of(law, first, end);
    const Line line = least_absolute_line(those, search_scatter);
    double cost = 0.0;
    for (const FitPoint& p : those) cost += std::abs(p.t - line.at(p)) / (p.t * relative_sigma(p, search_scatter));
    // A later law must be clearly better: they are the same where x does not matter. The first is taken even where
    // times that are no numbers leave nothing to compare: what follows needs the piece's ends.
    if (law == 0 || cost < 0.99 * best.cost) best = {first, end, law, line, cost};
  }
  return best;
}

/// Does time not fall from the last size of one piece to the first of the next, in every run?
bool rises(const GroupedPoints& points, const Piece& lower, const Piece& upper) {
  for (const FitPoint& before : points.of(lower.law, lower.end - 1, lower.end)) {
    for (const FitPoint& after : points.of(upper.law, upper.first, upper.first + 1)) {
      if (before.run == after.run && upper.line.at(after) < lower.line.at(before)) return false;
    }
  }
  return true;
}

/// -2 log L of a Laplace distribution whose mean deviation is not below least_mean, plus Schwarz's penalty with the
/// correction 2 p (p + 1) / (n - p - 1) for small samples; infinite where that leaves nothing to judge by.
double criterion(std::span<const Piece> pieces, std::size_t points) {
  double cost = 0.0;
  std::size_t parameters = pieces.size();  // the ends between them, and the mean deviation
  for (const Piece& piece : pieces) {
    cost += piece.cost;
    parameters += piece.parameters();
  }
  const auto n = static_cast<double>(points);
  const auto p = static_cast<double>(parameters);
  if (pieces.size() > 1 && n - p - 1.0 < 1.0) return std::numeric_limits<double>::infinity();
  const double mean = std::max(cost / n, least_mean);
  const double small = pieces.size() > 1 || n - p - 1.0 >= 1.0 ? 2.0 * p * (p + 1.0) / (n - p - 1.0) : 0.0;
  return 2.0 * n * std::log(mean) + 2.0 * cost / mean + p * std::log(n) + small;
}

/// All pieces that may be part of a division, found once.
class Search {
 public:
  explicit Search(const GroupedPoints& points)
      : points_(points), groups_(points.groups()), pieces_(groups_ * (groups_ + 1)) {
    for (std::size_t first = 0; first < groups_; ++first) {
      for (std::size_t end = first + fewest_groups; end <= groups_; ++end) {
        pieces_[index(first, end)] = piece_of(points, first, end);
      }
    }
  }

  std::vector<Piece> best(std::size_t most_pieces) {
    std::vector<Piece> pieces;
    extend(pieces, 0, most_pieces);
    return best_;
  }

 private:
  [[nodiscard]] std::size_t index(std::size_t first, std::size_t end) const { return first * (groups_ + 1) + end; }

  void extend(std::vector<Piece>& pieces, std::size_t first, std::size_t left) {
    for (std::size_t end = first + fewest_groups; end <= groups_; ++end) {
      const bool last = end == groups_;
      if (!last && (left == 1 || end + fewest_groups > groups_)) continue;
      const Piece& piece = pieces_[index(first, end)];
      if (!pieces.empty() && !rises(points_, pieces.back(), piece)) continue;
      pieces.push_back(piece);
      if (last) {
        consider(pieces);
      } else {
        extend(pieces, end, left - 1);
      }
      pieces.pop_back();
    }
  }

  void consider(const std::vector<Piece>& pieces) {
    const double value = criterion(pieces, points_.laws.front().size());
    if (best_.empty() || value < least_) {
      least_ = value;
      best_ = pieces;
    }
  }

  const GroupedPoints& points_;
  std::size_t groups_;
  std::vector<Piece> pieces_;
  std::vector<Piece> best_;
  double least_ = 0.0;
};

}  // namespace

std::vector<Piece> divide(const GroupedPoints& points, std::size_t most_pieces) {
  if (points.groups() < fewest_groups) return {piece_of(points, 0, points.groups())};
  return Search(points).best(most_pieces);
}

}  // namespace rackproof::stats

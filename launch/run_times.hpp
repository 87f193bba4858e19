// On what a run spent its time.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/core/clock.hpp"

namespace rackproof {

/// A stopwatch that never stops: what has passed since the last call goes to the work that is named, so that nothing is
/// left out. Of one rank.
class RunTimes {
 public:
  /// `began`: s of the clock, which outlives this.
  RunTimes(const Clock& clock, double began) : clock_(clock), began_(began), last_(began) {}

  void spent_on(const std::string& work) { add(works_, work); }
  /// Measuring, of which each suite's part is told.
  void measured(const std::string& suite) { add(suites_, suite); }

  /// "Took 92.1 s: measuring 61.0 (gemm 40.0, links 21.0), setting up 12.2, ...": the longest first.
  [[nodiscard]] std::string line() const;

 private:
  using Spent = std::vector<std::pair<std::string, double>>;
  void add(Spent& spent, const std::string& work);

  const Clock& clock_;
  double began_;
  double last_;
  Spent works_;
  Spent suites_;
};

}  // namespace rackproof

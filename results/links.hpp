// What a file says about pairs of ranks: which link or node is slow. From the file alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/stats/pair_model.hpp"
#include "results/reader.hpp"

namespace rackproof::results {

/// Pairs that can be compared: of one message size and direction.
struct LinkSeries {
  std::size_t suite = 0;  ///< position of its suite
  std::size_t first = 0;  ///< position of its first case there that was measured
  /// Pairs that were driven apart from the others, with what they took.
  struct Apart {
    std::size_t which;  ///< position of the case in its suite
    std::vector<stats::PairTime> times;
  };
  /// A pair in which at least one rank received something else than was sent.
  struct WrongData {
    int a;
    int b;
    int wrong;     ///< meetings in which it happened
    int meetings;  ///< of so many, in all stages
  };
  std::int64_t message_size = 0;  ///< bytes
  std::string direction;
  std::vector<FigureHeader> figures;
  /// Planned and repeated meetings in which both checks passed; endpoints are ranks. A pair's time is the larger of the
  /// medians of its two ranks.
  std::vector<stats::PairTime> times;
  std::vector<Apart> apart;
  std::vector<WrongData> wrong_data;  ///< in the order in which it was seen
  stats::PairOptions options;         ///< with the nodes of the ranks
  stats::PairVerdict verdict;
};

/// Of a suite with pairs, in order of its cases; those without any measurement are left out.
[[nodiscard]] std::vector<LinkSeries> link_series(const ResultFile& file, std::size_t suite);

/// True for a case in which ranks meet in pairs.
[[nodiscard]] bool is_pair_case(const CaseHeader& which);

/// What is held against one of the blamed parts of a series, or a suspect, in one line: "link rank 3 (...) <-> ...:
/// takes 31 % longer than ...".
[[nodiscard]] std::string blame_text(const ResultFile& file, const LinkSeries& series, const stats::SlowPart& part);
/// "1 MiB both-ways".
[[nodiscard]] std::string series_name(const LinkSeries& series);

/// Names the first node that has more ranks than hardware threads, where the scheduler decides who is slow; empty where
/// there is none, or the file does not tell.
[[nodiscard]] std::string crowded_node(const RunHeader& header);
/// The same of machines: nodes of one boot (containers, a virtual rack) share their hardware threads.
[[nodiscard]] std::string crowded_machine(const RunHeader& header);

/// A row a series, and the verdicts in words. Every line ends with a newline.
[[nodiscard]] std::string link_table(const ResultFile& file, const std::vector<LinkSeries>& all);
[[nodiscard]] std::string link_verdicts(const ResultFile& file, const std::vector<LinkSeries>& all);

}  // namespace rackproof::results

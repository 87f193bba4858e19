#include "results/network_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/stats/network_bounds.hpp"
#include "common/stats/network_model.hpp"
#include "common/stats/network_scaling.hpp"
#include "results/network_series.hpp"
#include "results/part_file.hpp"
#include "results/table.hpp"

namespace rackproof::results {
namespace {

constexpr double giga = 1e9;
constexpr Table::Align right = Table::Align::right;

std::string plural(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

/// "0.95 to 1.05" of a value in some unit; "-" where the value is 0: the model does without it.
std::string range(const stats::Interval& interval, double unit) {
  return fmt::format("{} to {}", format_number(interval.low * unit), format_number(interval.high * unit));
}

/// The interval of 1 / beta in GB/s; no upper end where beta may be 0.
std::string bandwidth_range(const stats::Interval& beta) {
  const auto rate = [](double b) { return b > 0.0 ? format_number(1.0 / b / giga) : std::string("any"); };
  return fmt::format("{} to {}", rate(beta.high), rate(beta.low));
}

double median_time(const stats::SizeSamples& size) { return stats::median(size.times); }

// ---- one series ----

std::string segments_table(const stats::NetworkModel& model) {
  Table table({{"from", "", right},
               {"to", "", right},
               {"sizes", "", right},
               {"alpha", "us", right},
               {"95 %", "us", right},
               {"1/beta", "GB/s", right},
               {"95 %", "GB/s", right},
               {"half at", "", right}});
  for (const stats::Segment& segment : model.segments) {
    const bool flat = segment.beta == 0.0;
    const bool through_zero = segment.alpha == 0.0;
    table.add_row({format_bytes(segment.first), format_bytes(segment.last), fmt::format("{}", segment.sizes),
                   format_number(segment.alpha * 1e6), range(segment.alpha_interval, 1e6),
                   flat ? "-" : format_number(1.0 / segment.beta / giga), bandwidth_range(segment.beta_interval),
                   flat || through_zero ? "-" : format_bytes(std::round(segment.alpha / segment.beta))});
  }
  return table.render(page_width);
}

std::string findings(const stats::NetworkModel& model) {
  std::string text;
  for (const stats::Crossover& crossover : model.crossovers) {
    text +=
        fmt::format("crossover above {}, at {} or below", format_bytes(crossover.below), format_bytes(crossover.above));
    text += std::isnan(crossover.equal_at)
                ? std::string("; the lines do not meet\n")
                : fmt::format("; the lines meet at {}\n", format_bytes(std::round(crossover.equal_at)));
  }
  for (const stats::OffModel& off : model.off_model) {
    text += fmt::format("off the model: {} takes {}, {:.0f} % {} than the {} that the other sizes say (z = {:.1f})\n",
                        format_bytes(off.bytes), format_duration(off.measured), 100.0 * std::abs(off.deviation),
                        off.deviation > 0.0 ? "more" : "less", format_duration(off.expected), off.z);
  }
  return text + fmt::format("sizes deviate by {:.1f} % beyond their own uncertainty; {} off the model\n",
                            100.0 * model.scatter,
                            model.off_model.empty() ? "none is" : plural(model.off_model.size(), "size"));
}

stats::AllReduceTask task_of(const NetworkSeries& series, double bytes, const NetworkOptions& options) {
  stats::AllReduceTask task;
  task.bytes = bytes;
  task.ranks = series.ranks;
  task.nodes = series.nodes;
  task.alpha = options.link_latency;
  task.beta = options.link_bandwidth > 0.0 ? 1.0 / options.link_bandwidth : 0.0;
  task.node_beta = options.node_bandwidth > 0.0 ? 1.0 / options.node_bandwidth : 0.0;
  return task;
}

/// The sizes of which the samples tell too little; empty where there is none.
std::string unjudged_text(const NetworkSeries& series) {
  std::string sizes;
  for (const stats::SizeSamples& size : series.sizes) {
    if (!stats::is_judgeable(size)) sizes += (sizes.empty() ? "" : ", ") + format_bytes(size.bytes);
  }
  return sizes.empty() ? "" : fmt::format("too few or too scattered samples to judge: {}\n", sizes);
}

/// The largest message whose median is known against each way of doing it.
std::string bounds_table(const NetworkSeries& series, const NetworkOptions& options) {
  const auto known = std::find_if(series.sizes.rbegin(), series.sizes.rend(), stats::is_judgeable);
  if (known == series.sizes.rend()) return "\nno size has the samples that a comparison with the links needs\n";
  const stats::SizeSamples& largest = *known;
  const double measured = median_time(largest);
  const stats::AllReduceTask task = task_of(series, largest.bytes, options);
  Table table({{"way", "", Table::Align::left},
               {"bandwidth's part", "", Table::Align::left},
               {"time", "at least", right},
               {"busbw", "GB/s at most", right},
               {"efficiency", "%", right}});
  for (const stats::AllReduceBound& bound : stats::all_reduce_bounds()) {
    const double least = bound.seconds(task);
    if (!(least > 0.0)) continue;
    table.add_row({std::string(bound.name), std::string(bound.formula), format_duration(least),
                   format_number(stats::bus_bandwidth(task.bytes, task.ranks, least) / giga),
                   fmt::format("{:.1f}", 100.0 * least / measured)});
  }
  return fmt::format("\n{} takes {}, busbw {} GB/s; what the links allow:\n", format_bytes(largest.bytes),
                     format_duration(measured),
                     format_number(stats::bus_bandwidth(task.bytes, task.ranks, measured) / giga)) +
         table.render(page_width);
}

/// Every size against the bound that holds for whatever sends from point to point.
std::string efficiency_table(const NetworkSeries& series, const NetworkOptions& options) {
  Table table({{"size", "", right},
               {"time", "median", right},
               {"point to point", "at least", right},
               {"efficiency", "%", right}});
  bool adds = false;
  for (const stats::SizeSamples& size : series.sizes) {
    const double measured = median_time(size);
    const double least = stats::point_to_point_bound(task_of(series, size.bytes, options));
    adds = adds || least > 1.03 * measured;
    table.add_row({format_bytes(size.bytes), format_duration(measured), format_duration(least),
                   fmt::format("{:.2f}", 100.0 * least / measured)});
  }
  return "\n" + table.render(page_width) +
         (adds ? "above 100 %: the network adds (NVLS, SHARP), or its links are faster than was said\n" : "");
}

/// "8 ranks on 2 nodes"; "groups of 4 ranks".
std::string where_text(const NetworkSeries& series) {
  const std::string ranks = plural(static_cast<std::size_t>(series.ranks), "rank");
  if (series.nodes == 0) return "groups of " + ranks;
  return fmt::format("{} on {}", ranks, plural(static_cast<std::size_t>(series.nodes), "node"));
}

std::string series_text(const NetworkSeries& series, const NetworkOptions& options) {
  const stats::NetworkModel model = stats::fit_network_model(series.sizes);
  std::string text =
      fmt::format("\n{}, {}, {} from {} to {}\n", series.label, where_text(series), plural(series.sizes.size(), "size"),
                  format_bytes(series.sizes.front().bytes), format_bytes(series.sizes.back().bytes));
  text += segments_table(model) + findings(model) + unjudged_text(series);
  if (series.all_reduce && options.link_bandwidth > 0.0) {
    text += bounds_table(series, options) + efficiency_table(series, options);
  }
  return text;
}

// ---- over ranks ----

using Group = std::vector<const NetworkSeries*>;

std::vector<stats::ScalingRun> runs_of(const Group& group) {
  std::vector<stats::ScalingRun> runs;
  for (const NetworkSeries* series : group) runs.push_back({series->ranks, series->sizes});
  return runs;
}

std::set<int> rank_counts(const Group& group) {
  std::set<int> counts;
  for (const NetworkSeries* series : group) counts.insert(series->ranks);
  return counts;
}

std::string interval_text(const stats::Prediction& prediction) {
  if (!prediction.interval) return "-";
  return fmt::format("{} to {}", format_duration(prediction.interval->low), format_duration(prediction.interval->high));
}

std::string pieces_table(const stats::NetworkScaling& scaling) {
  Table table({{"from", "", right},
               {"to", "", right},
               {"steps", "", Table::Align::left},
               {"alpha", "us a step", right},
               {"1/beta", "GB/s of a rank", right}});
  for (const stats::NetworkScaling::Piece& piece : scaling.pieces()) {
    table.add_row({format_bytes(piece.first), format_bytes(piece.last),
                   piece.steps == stats::Steps::logarithmic ? "2 ceil(log2 n)" : "2 (n-1)",
                   format_number(piece.alpha * 1e6), piece.beta > 0.0 ? format_number(1.0 / piece.beta / giga) : "-"});
  }
  return table.render(page_width);
}

std::set<double> sizes_of(const Group& group) {
  std::set<double> sizes;
  for (const NetworkSeries* series : group) {
    for (const stats::SizeSamples& size : series->sizes) sizes.insert(size.bytes);
  }
  return sizes;
}

/// How far the widest interval reaches: what looks covered says little where this is large.
std::string reach_text(const std::vector<stats::Prediction>& predictions) {
  double reach = 0.0;
  for (const stats::Prediction& prediction : predictions) {
    if (prediction.interval) reach = std::max(reach, prediction.interval->high / prediction.median);
  }
  if (reach == 0.0) return "no interval: the runs are too few to tell how much runs differ\n";
  return fmt::format("intervals reach up to {} times the prediction\n", format_number(reach));
}

std::string prediction_table(const Group& group, const stats::NetworkScaling& scaling, int ranks) {
  Table table({{"size", "", right},
               {"predicted", "median", right},
               {"one further run", "95 %", right},
               {"busbw", "GB/s", right}});
  std::vector<stats::Prediction> predictions;
  for (const double bytes : sizes_of(group)) {
    const stats::Prediction& prediction = predictions.emplace_back(scaling.predict(ranks, bytes));
    table.add_row({format_bytes(bytes), format_duration(prediction.median), interval_text(prediction),
                   format_number(stats::bus_bandwidth(bytes, ranks, prediction.median) / giga)});
  }
  return fmt::format("\nextrapolated to {}:\n", plural(static_cast<std::size_t>(ranks), "rank")) +
         table.render(page_width) + reach_text(predictions);
}

std::string back_test_text(const std::vector<stats::ScalingRun>& runs) {
  const std::optional<stats::BackTest> test = stats::back_test(runs);
  if (!test) return "no back-test: it needs files of three rank counts\n";
  Table table({{"size", "", right},
               {"measured", "", right},
               {"predicted", "median", right},
               {"one further run", "95 %", right},
               {"covered", "", Table::Align::left}});
  std::size_t covered = 0;
  std::vector<stats::Prediction> predictions;
  for (const stats::BackTest::Size& size : test->sizes) {
    covered += size.covered() ? 1U : 0U;
    predictions.push_back(size.predicted);
    table.add_row({format_bytes(size.bytes), format_duration(size.measured), format_duration(size.predicted.median),
                   interval_text(size.predicted), size.covered() ? "yes" : "NO"});
  }
  return fmt::format("\nback-test: {} ranks, predicted from the runs with fewer:\n", test->ranks) +
         table.render(page_width) + fmt::format("{} of {} covered; ", covered, plural(test->sizes.size(), "size")) +
         reach_text(predictions);
}

/// Where runs inside a node stand beside runs across nodes.
std::string mixture_note(const Group& group) {
  const auto inside = [](const NetworkSeries* series) { return series->nodes == 1; };
  if (std::all_of(group.begin(), group.end(), inside) || std::none_of(group.begin(), group.end(), inside)) return "";
  return "WARNING: runs on one node and on several are mixed; they use other links, and one model for both misleads\n";
}

std::string group_text(const Group& group, const NetworkOptions& options) {
  const std::vector<stats::ScalingRun> runs = runs_of(group);
  const stats::NetworkScaling scaling(runs);
  std::string counts;
  for (const int n : rank_counts(group)) counts += fmt::format("{}{}", counts.empty() ? "" : ", ", n);
  std::string text =
      fmt::format("\n{} over {} with {} ranks\n", group.front()->label, plural(group.size(), "run"), counts);
  text += mixture_note(group) + pieces_table(scaling);
  if (options.extrapolate > 0) text += prediction_table(group, scaling, options.extrapolate);
  return text + back_test_text(runs);
}

// ---- files ----

std::regex expression(const std::string& text) {
  try {
    return std::regex(text);
  } catch (const std::regex_error&) {
    throw usage_error(
        fmt::format("'{}' is no regular expression; write one such as '^allreduce/f32'", printable(text)));
  }
}

Error nothing_to_fit(const ResultFile& file, const NetworkOptions& options) {
  const RunHeader& header = file.header();
  if (header.ranks.size() < 2) {
    return usage_error(
        fmt::format("{} is a run of 1 rank, which uses no network; measure with 2 or more: 'mpirun -n 2 rackproof run "
                    "--suite allreduce'",
                    quoted(file.path())));
  }
  const std::string matching =
      options.case_regex.empty() ? std::string() : fmt::format(" that matches '{}'", printable(options.case_regex));
  return usage_error(
      fmt::format("{} has no collective case{} that was measured to its end; 'rackproof run --suite "
                  "allreduce' measures some",
                  quoted(file.path()), matching));
}

class Report {
 public:
  Report(const std::vector<std::filesystem::path>& paths, const NetworkOptions& options) : options_(options) {
    const std::regex wanted = expression(options.case_regex);
    std::map<std::string, std::filesystem::path> known;  // by run
    for (std::size_t i = 0; i < paths.size(); ++i) {
      const ResultFile file(paths[i]);
      const auto [other, is_new] = known.emplace(file.header().run_id, paths[i]);
      if (!is_new) {
        throw usage_error(fmt::format("{} and {} are the same run, which counts once; leave one out",
                                      quoted(other->second), quoted(paths[i])));
      }
      std::vector<NetworkSeries> found = network_series(file, i, wanted);
      if (found.empty()) throw nothing_to_fit(file, options);
      most_sizes_ = std::max(most_sizes_, take(std::move(found)));
      head_ += head(file);
    }
    if (series_.empty()) {
      throw usage_error(
          fmt::format("{} has {} a series, and a model needs {}; measure more sizes, or select others with --case",
                      quoted(paths.front()), plural(most_sizes_, "message size"), stats::fewest_sizes));
    }
  }

  [[nodiscard]] std::string text() const {
    std::string text = head_;
    for (const NetworkSeries& series : series_) text += series_text(series, options_);
    std::string over_ranks;
    for (const Group& group : groups()) over_ranks += group_text(group, options_);
    if (over_ranks.empty() && options_.extrapolate > 0) {
      throw usage_error(
          "--extrapolate needs all-reduces of at least two rank counts; give result files of runs with other 'mpirun "
          "-n'");
    }
    text += over_ranks;
    if (left_out_ > 0) {
      text += fmt::format("\n{} series with fewer than {} sizes left out\n", left_out_, stats::fewest_sizes);
    }
    return text;
  }

 private:
  /// Returns the largest number of sizes among them.
  std::size_t take(std::vector<NetworkSeries>&& found) {
    std::size_t most = 0;
    for (NetworkSeries& series : found) {
      most = std::max(most, series.sizes.size());
      if (series.sizes.size() < stats::fewest_sizes) {
        ++left_out_;
      } else {
        series_.push_back(std::move(series));
      }
    }
    return most;
  }

  static std::string head(const ResultFile& file) {
    const RunHeader& header = file.header();
    const std::string why = why_no_measurement(header);
    return fmt::format("{}  {}  {}{}\n", printable(header.run_id), printable(header.date), quoted(file.path()),
                       why.empty() ? "" : "  WARNING: made " + why);
  }

  /// Series of the same kind at two rank counts or more.
  [[nodiscard]] std::vector<Group> groups() const {
    std::vector<Group> all;
    std::set<std::string> done;
    for (const NetworkSeries& first : series_) {
      if (!first.all_reduce || !done.insert(first.key).second) continue;
      Group group;
      for (const NetworkSeries& series : series_) {
        if (series.key == first.key) group.push_back(&series);
      }
      if (rank_counts(group).size() >= 2) all.push_back(std::move(group));
    }
    return all;
  }

  const NetworkOptions& options_;
  std::string head_;
  std::vector<NetworkSeries> series_;
  std::size_t left_out_ = 0;
  std::size_t most_sizes_ = 0;
};

}  // namespace

std::string network_report(const std::vector<std::filesystem::path>& files, const NetworkOptions& options) {
  return Report(files, options).text();
}

}  // namespace rackproof::results

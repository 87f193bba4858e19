#include "results/show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/links.hpp"
#include "results/part_file.hpp"
#include "results/quantile_table.hpp"
#include "results/reader.hpp"
#include "results/side_by_side.hpp"
#include "results/table.hpp"
#include "results/telemetry_report.hpp"

namespace rackproof::results {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
/// A case is marked as late where more than this share of the samples of some rank started late.
constexpr double late_share = 0.05;

// ---- numbers ----

/// The median of some times and, where there are enough of them, its 95 % interval. s.
struct Middle {
  double median = unknown;
  double low = unknown;
  double high = unknown;
};

Middle middle_of(std::span<const double> times) {
  Middle middle;
  if (times.empty()) return middle;
  middle.median = stats::median(times);
  if (const auto interval = stats::median_interval(times, 0.95, stats::effective_sample_size(times))) {
    middle.low = interval->low;
    middle.high = interval->high;
  }
  return middle;
}

struct RankSummary {
  std::int32_t samples = 0;
  Middle time;
  double late = 0.0;  ///< share of its samples
  double verify_error = unknown;
  std::uint64_t digest = 0;
};

struct CaseSummary {
  std::vector<RankSummary> ranks;
  std::int32_t fewest = 0;  ///< samples of a rank
  std::int32_t most = 0;
  Middle time;              ///< collective: of the job; otherwise of the typical rank
  std::size_t slowest = 0;  ///< rank with the largest median; collective: not set
  double late = 0.0;        ///< share of the rank that was late most often
  std::uint8_t flags = 0;   ///< of any sample of any rank
};

RankSummary summary_of_rank(const RankBlock& block, std::size_t row, std::uint8_t& all_flags) {
  RankSummary rank;
  rank.samples = block.samples[row];
  const auto count = static_cast<std::size_t>(rank.samples);
  const std::size_t offset = row * static_cast<std::size_t>(block.columns);
  rank.time = middle_of(std::span(block.time).subspan(offset, count));
  const auto flags = std::span(block.flags).subspan(offset, count);
  const auto late = std::count_if(flags.begin(), flags.end(), [](auto f) { return (f & schema::flag_late) != 0; });
  for (const std::uint8_t f : flags) all_flags |= f;
  rank.late = count == 0 ? 0.0 : static_cast<double>(late) / static_cast<double>(count);
  rank.verify_error = block.verify_error[row];
  rank.digest = block.digest[row];
  return rank;
}

CaseSummary summarise(const ResultFile& file, std::size_t suite, std::size_t which) {
  CaseSummary summary;
  const auto ranks = static_cast<int>(file.header().ranks.size());
  const int step = file.ranks_per_block();
  for (int first = 0; first < ranks; first += step) {
    const RankBlock block = file.block(suite, which, first, std::min(step, ranks - first));
    for (std::size_t row = 0; row < block.samples.size(); ++row) {
      summary.ranks.push_back(summary_of_rank(block, row, summary.flags));
    }
  }
  // Where ranks meet in pairs, those without a partner have no samples.
  const bool pairs = file.header().suites[suite].pairs;
  summary.fewest = std::numeric_limits<std::int32_t>::max();
  for (const RankSummary& rank : summary.ranks) {
    if (rank.samples > 0 || !pairs) summary.fewest = std::min(summary.fewest, rank.samples);
    summary.most = std::max(summary.most, rank.samples);
  }
  summary.fewest = std::min(summary.fewest, summary.most);
  for (const RankSummary& rank : summary.ranks) summary.late = std::max(summary.late, rank.late);
  if (file.header().suites[suite].cases[which].collective) {
    summary.time = middle_of(file.figure_time(suite, which));
    return summary;
  }
  // The typical rank: the median over ranks of what each says of itself.
  const auto over_ranks = [&](double Middle::*member) {
    std::vector<double> values;
    for (const RankSummary& rank : summary.ranks) values.push_back(rank.time.*member);
    return stats::median(values);
  };
  summary.time = {over_ranks(&Middle::median), over_ranks(&Middle::low), over_ranks(&Middle::high)};
  double largest = -1.0;
  for (std::size_t r = 0; r < summary.ranks.size(); ++r) {
    if (summary.ranks[r].time.median > largest) {
      largest = summary.ranks[r].time.median;
      summary.slowest = r;
    }
  }
  return summary;
}

/// "-0.4 +1.2": the interval's ends against the median, in percent.
std::string format_interval(const Middle& middle) {
  if (!std::isfinite(middle.low) || !std::isfinite(middle.high) || !(middle.median > 0.0)) return "-";
  const double below = 100.0 * (1.0 - middle.low / middle.median);
  const double above = 100.0 * (middle.high / middle.median - 1.0);
  const auto digits = [](double value) { return value < 99.95 ? 1 : 0; };
  return fmt::format("-{:.{}f} +{:.{}f}", below, digits(below), above, digits(above));
}

std::string format_figure(const FigureHeader& figure, double time) {
  return time > 0.0 ? format_number(figure.value(time)) : "-";
}

// ---- a suite ----

/// Marks beside the number of samples, and what they mean; a legend is printed for those in use.
struct Mark {
  char sign;
  const char* meaning;
};
constexpr std::array<Mark, 5> marks{
    {{'~', "sampling ended on its budget, before the median was known as well as wanted"},
     {'^', "more than 5 % of the samples of some rank started late"},
     {'=', "started by a barrier, because the global clock was too uncertain"},
     {'*', "reading the clock took more than 5 % of the time"},
     {'!', "above 100 % of the peak: it was measured too low, or the data stayed in the cache"}}};
/// A share of a peak that has no other explanation than a wrong peak, in %. Above 100 for the noise of both.
constexpr double impossible_share = 103.0;

class Page {
 public:
  Page(const ResultFile& file, const ShowOptions& options) : file_(file), options_(options) {}

  /// The tables of the cases (positions) of one suite. Ranks that meet in pairs are shown a series a row, with what
  /// follows from all of its meetings, unless single cases or ranks are asked for.
  std::string suite(std::size_t suite, const std::vector<std::size_t>& cases) {
    const bool by_series = file_.header().suites[suite].pairs && !options_.ranks && options_.case_regex.empty();
    if (!by_series) return case_tables(suite, cases);
    const std::vector<LinkSeries> series = link_series(file_, suite);
    const std::string verdicts = link_verdicts(file_, series);
    const std::string table = link_table(file_, series);
    return case_tables(suite, outside(suite, cases, series)) + (table.empty() ? "" : "\n" + table) +
           (verdicts.empty() ? "" : "\n" + verdicts);
  }

  /// Those of `cases` that belong to no series, or that something is to be said about.
  std::vector<std::size_t> outside(std::size_t suite, const std::vector<std::size_t>& cases,
                                   const std::vector<LinkSeries>& series) const {
    const auto is_measured_series = [&](const CaseHeader& which) {
      return std::any_of(series.begin(), series.end(), [&](const LinkSeries& one) {
        return one.message_size == which.message_size && !one.times.empty();
      });
    };
    std::vector<std::size_t> others;
    for (const std::size_t c : cases) {
      const CaseHeader& which = file_.header().suites[suite].cases[c];
      const Status status = file_.outcome(suite, c).status;
      const bool quiet = status == Status::passed || status == Status::skipped || status == Status::not_run;
      if (!is_pair_case(which) || !quiet || (status == Status::skipped && !is_measured_series(which)))
        others.push_back(c);
    }
    return others;
  }

  std::string case_tables(std::size_t suite, const std::vector<std::size_t>& cases) {
    const SuiteHeader& header = file_.header().suites[suite];
    // Cases share a table if the figures of one are among those of the other, so that no table is wide and full of
    // holes.
    std::vector<Group> groups;
    for (const std::size_t which : cases) {
      const std::vector<FigureHeader>& figures = header.cases[which].figures;
      auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) {
        return includes(g.figures, figures) || includes(figures, g.figures);
      });
      if (group == groups.end()) group = groups.insert(groups.end(), Group{});
      if (group->figures.size() < figures.size()) group->figures = figures;
      group->cases.push_back(which);
    }
    std::string text;
    for (const Group& group : groups) {
      text += "\n" + (options_.ranks ? rank_table(suite, group) : case_table(suite, group));
    }
    return text;
  }

  /// One line a mark that was used.
  [[nodiscard]] std::string legend() const {
    std::string text;
    for (const Mark& mark : marks) {
      if (used_.contains(mark.sign)) text += fmt::format("{} {}\n", mark.sign, mark.meaning);
    }
    return text.empty() ? text : "\n" + text;
  }

 private:
  /// Cases of one table, and the columns that they need.
  struct Group {
    std::vector<FigureHeader> figures;
    std::vector<std::size_t> cases;
  };

  static bool includes(const std::vector<FigureHeader>& all, const std::vector<FigureHeader>& some) {
    return std::all_of(some.begin(), some.end(), [&](const FigureHeader& figure) {
      return std::any_of(all.begin(), all.end(), [&](const FigureHeader& other) { return other.name == figure.name; });
    });
  }

  std::string marks_of(const CaseHeader& one, const CaseOutcome& outcome, const CaseSummary& summary) {
    std::string text;
    if (outcome.stop_reason == StopReason::budget) text += marks[0].sign;
    if (summary.late > late_share) text += marks[1].sign;
    if ((summary.flags & schema::flag_barrier) != 0) text += marks[2].sign;
    if ((summary.flags & schema::flag_short) != 0) text += marks[3].sign;
    if (std::any_of(one.figures.begin(), one.figures.end(), [&](const FigureHeader& figure) {
          return figure.unit == "%" && figure.value(summary.time.median) > impossible_share;
        })) {
      text += marks[4].sign;
    }
    used_.insert(text.begin(), text.end());
    return text;
  }

  static void add_message(Table& table, const CaseOutcome& outcome) {
    if (!outcome.message.empty()) table.add_note(outcome.message);
  }

  static bool is_measured(const CaseOutcome& outcome) {
    return outcome.status != Status::not_run && outcome.status != Status::skipped;
  }

  std::string case_table(std::size_t suite, const Group& group) {
    const SuiteHeader& header = file_.header().suites[suite];
    const std::vector<FigureHeader>& figures = group.figures;
    const bool some_independent = std::any_of(group.cases.begin(), group.cases.end(),
                                              [&](std::size_t which) { return !header.cases[which].collective; });
    const bool with_slowest = file_.header().ranks.size() > 1 && some_independent && !figures.empty();

    std::vector<std::pair<std::size_t, std::optional<CaseSummary>>> summaries;
    std::size_t mark_width = 0;
    for (const std::size_t which : group.cases) {
      summaries.emplace_back(which, std::nullopt);
      const CaseOutcome& outcome = file_.outcome(suite, which);
      if (!is_measured(outcome)) continue;
      summaries.back().second = summarise(file_, suite, which);
      const CaseSummary& summary = *summaries.back().second;
      mark_width = std::max(mark_width, marks_of(header.cases[which], outcome, summary).size());
    }
    // Too wide a page loses figures from its right; the file still has them.
    for (std::size_t shown = figures.size();; --shown) {
      std::vector<Table::Column> columns{{"case", "", Table::Align::left},
                                         {"status", "", Table::Align::left},
                                         {"samples" + std::string(mark_width, ' '), "", Table::Align::right},
                                         {"time", "median", Table::Align::right},
                                         {"95 %", "% of it", Table::Align::right}};
      for (std::size_t f = 0; f < shown; ++f) columns.push_back({figures[f].name, figures[f].unit});
      if (with_slowest) columns.push_back({"slowest", "at rank", Table::Align::right});
      Table table(columns);
      for (const auto& [which, summary] : summaries) {
        const CaseHeader& one = header.cases[which];
        const CaseOutcome& outcome = file_.outcome(suite, which);
        std::vector<std::string> cells{one.name, std::string(to_string(outcome.status))};
        if (summary && summary->most > 0) {
          std::string samples = summary->fewest == summary->most ? fmt::format("{}", summary->most)
                                                                 : fmt::format("{}-{}", summary->fewest, summary->most);
          samples += fmt::format("{:<{}}", marks_of(one, outcome, *summary), mark_width);
          cells.push_back(samples);
          cells.push_back(format_duration(summary->time.median));
          cells.push_back(format_interval(summary->time));
          for (std::size_t f = 0; f < shown; ++f) cells.push_back(figure_of(one, *summary, figures[f].name));
          if (with_slowest && !one.collective && !one.figures.empty()) {
            const double slowest = summary->ranks[summary->slowest].time.median;
            cells.push_back(fmt::format("{} @{}", format_figure(one.figures.front(), slowest), summary->slowest));
          }
        }
        table.add_row(std::move(cells));
        add_message(table, outcome);
      }
      if (table.width() > page_width && shown > 1) continue;
      std::string text = table.render(page_width);
      if (shown < figures.size()) text += "(more figures in the file)\n";
      return text;
    }
  }

  /// Of a case whose ranks work on their own: the median over ranks of each rank's figure. Empty where the case has
  /// no such figure.
  static std::string figure_of(const CaseHeader& one, const CaseSummary& summary, std::string_view name) {
    const auto figure = std::find_if(one.figures.begin(), one.figures.end(),
                                     [&](const FigureHeader& candidate) { return candidate.name == name; });
    if (figure == one.figures.end()) return {};
    if (one.collective) return format_figure(*figure, summary.time.median);
    std::vector<double> values;
    for (const RankSummary& rank : summary.ranks) {
      if (rank.time.median > 0.0) values.push_back(figure->value(rank.time.median));
    }
    return values.empty() ? "-" : format_number(stats::median(values));
  }

  std::string rank_table(std::size_t suite, const Group& group) {
    const SuiteHeader& header = file_.header().suites[suite];
    const std::vector<RankHeader>& ranks = file_.header().ranks;
    // A figure of a collective belongs to the job, not to a rank; and there is room for one.
    const bool with_figure = std::any_of(group.cases.begin(), group.cases.end(), [&](std::size_t which) {
      return !header.cases[which].collective && !header.cases[which].figures.empty();
    });
    std::vector<std::pair<std::size_t, std::optional<CaseSummary>>> summaries;
    bool with_late = false;
    for (const std::size_t which : group.cases) {
      summaries.emplace_back(which, std::nullopt);
      if (!is_measured(file_.outcome(suite, which))) continue;
      summaries.back().second = summarise(file_, suite, which);
      with_late = with_late || summaries.back().second->late > 0.0;
    }
    std::vector<Table::Column> columns{
        {"case", "", Table::Align::left},        {"status", "", Table::Align::left},
        {"rank", "", Table::Align::right},       {"host", "", Table::Align::left},
        {"device", "", Table::Align::left},      {"samples", "", Table::Align::right},
        {"time", "median", Table::Align::right}, {"95 %", "% of it", Table::Align::right}};
    if (with_figure) columns.push_back({group.figures.front().name, group.figures.front().unit, Table::Align::right});
    if (with_late) columns.push_back({"late", "%", Table::Align::right});
    columns.push_back({"error", "of 1", Table::Align::right});
    columns.push_back({"digest", "", Table::Align::left});
    Table table(columns);
    for (const auto& [which, summary] : summaries) {
      const CaseHeader& one = header.cases[which];
      const CaseOutcome& outcome = file_.outcome(suite, which);
      const std::string status(to_string(outcome.status));
      if (!summary) table.add_row({one.name, status});
      for (std::size_t r = 0; summary && r < ranks.size(); ++r) {
        const RankSummary& rank = summary->ranks[r];
        std::vector<std::string> cells{one.name,
                                       status,
                                       fmt::format("{}", r),
                                       ranks[r].hostname,
                                       ranks[r].device_id,
                                       fmt::format("{}", rank.samples),
                                       format_duration(rank.time.median),
                                       format_interval(rank.time)};
        if (with_figure) {
          const bool has =
              !one.collective && !one.figures.empty() && one.figures.front().name == group.figures.front().name;
          cells.push_back(has ? format_figure(one.figures.front(), rank.time.median) : "");
        }
        if (with_late) cells.push_back(fmt::format("{:.0f}", 100.0 * rank.late));
        cells.push_back(format_number(rank.verify_error));
        // Enough to see who differs; the file has all of it.
        cells.push_back(rank.digest == 0 ? "-" : fmt::format("{:08x}", rank.digest >> 32U));
        table.add_row(std::move(cells));
      }
      add_message(table, outcome);
      if (!outcome.implementation.empty()) table.add_note(outcome.implementation);
    }
    return table.render(page_width);
  }

  const ResultFile& file_;
  const ShowOptions& options_;
  std::set<char> used_;
};

// ---- the head of the page ----

/// "16 x NVIDIA H100, 1 x NVIDIA A100": texts with their counts, most frequent first; at most `limit` of them.
std::string counted(const std::vector<std::string>& texts, std::size_t limit) {
  std::map<std::string, std::size_t> counts;
  for (const std::string& text : texts) ++counts[text.empty() ? "unknown" : text];
  std::vector<std::pair<std::string, std::size_t>> order(counts.begin(), counts.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string out;
  for (std::size_t i = 0; i < order.size() && i < limit; ++i) {
    out += fmt::format("{}{} x {}", i == 0 ? "" : ", ", order[i].second, order[i].first);
  }
  if (order.size() > limit) out += fmt::format(" and {} other kinds", order.size() - limit);
  return out;
}

std::string machine_line(const std::vector<RankHeader>& ranks) {
  std::vector<std::string> hosts;
  for (const RankHeader& rank : ranks) {
    if (std::find(hosts.begin(), hosts.end(), rank.hostname) == hosts.end()) hosts.push_back(rank.hostname);
  }
  constexpr std::size_t limit = 4;
  std::string names = fmt::format(
      "{}", fmt::join(hosts.begin(), hosts.begin() + static_cast<std::ptrdiff_t>(std::min(limit, hosts.size())), ", "));
  if (hosts.size() > limit) names += ", ...";
  return fmt::format("{} node{} ({}), {} rank{}", hosts.size(), hosts.size() == 1 ? "" : "s", names, ranks.size(),
                     ranks.size() == 1 ? "" : "s");
}

/// The labels, "key=value, ...": JSON, or TOML's plain `key = "value"` lines, which are shown as they are.
std::string labels_line(const std::string& text) {
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(text, nullptr, false);
  std::string out;
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      out += fmt::format("{}{}={}", out.empty() ? "" : ", ", key,
                         value.is_string() ? value.get<std::string>() : value.dump());
    }
    return out;
  }
  for (const char c : text) out += c == '\n' ? ' ' : c;
  return out;
}

/// Those of the libraries in the process that decide a figure, by the beginning of their file names.
struct NamedLibrary {
  std::string_view file;
  std::string_view name;
};
constexpr std::array<NamedLibrary, 9> named_libraries{{{"libmpi.", "MPI"},
                                                       {"libmpich.", "MPICH"},
                                                       {"libdnnl.", "oneDNN"},
                                                       {"libopenblas", "OpenBLAS"},
                                                       {"libcublasLt.", "cuBLASLt"},
                                                       {"libcudart.", "CUDA runtime"},
                                                       {"libnccl.", "NCCL"},
                                                       {"libgomp.", "libgomp"},
                                                       {"libhdf5", "HDF5"}}};

/// "Open MPI v4.1.4, package: ..." -> "Open MPI v4.1.4"; "2.6.3" -> "NAME 2.6.3".
std::string short_version(std::string_view name, std::string_view version) {
  if (version.empty()) return std::string(name);
  const std::size_t digit = version.find_first_of("0123456789");
  if (digit == std::string_view::npos) return fmt::format("{} {}", name, version);
  const std::string_view through_number = version.substr(0, version.find_first_of(" ,;\t\n", digit));
  const bool has_name = std::isalpha(static_cast<unsigned char>(version.front())) != 0 && digit > 1;
  return has_name ? std::string(through_number) : fmt::format("{} {}", name, through_number);
}

/// One entry a node: {"libraries": [{"path", "version", ...}], ...}; or such a list itself. Empty where not understood.
std::vector<std::string> library_names(const nlohmann::json& process) {
  std::vector<std::string> names;
  const nlohmann::json& list = process.is_object() && process.contains("libraries") ? process["libraries"] : process;
  if (!list.is_array()) return names;
  for (const NamedLibrary& named : named_libraries) {
    for (const nlohmann::json& library : list) {
      if (!library.is_object() || !library.contains("path") || !library["path"].is_string()) continue;
      const auto& path = library["path"].get_ref<const std::string&>();
      const std::string_view file = std::string_view(path).substr(path.rfind('/') + 1);
      if (!file.starts_with(named.file)) continue;
      const bool versioned = library.contains("version") && library["version"].is_string();
      names.push_back(short_version(named.name, versioned ? library["version"].get<std::string>() : ""));
      break;
    }
  }
  return names;
}

std::string libraries_line(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_array() || json.empty()) return {};
  const bool by_node = json.front().is_object() && json.front().contains("libraries");
  const std::vector<std::string> names = library_names(by_node ? json.front() : json);
  std::string out = fmt::format("{}", fmt::join(names, ", "));
  if (by_node &&
      std::any_of(json.begin(), json.end(), [&](const nlohmann::json& node) { return library_names(node) != names; })) {
    out += " on the first node; NOT the same on all nodes";
  }
  return out;
}

std::string head(const ResultFile& file) {
  const RunHeader& header = file.header();
  std::vector<std::pair<std::string, std::string>> lines;
  lines.emplace_back(
      "run", fmt::format("{}  {}  {} {}", header.run_id, header.date, header.software, header.software_version));
  lines.emplace_back("machine", machine_line(header.ranks));
  std::set<std::pair<std::string, std::string>> known;  // ranks may share a device
  std::vector<std::string> devices;
  for (const RankHeader& rank : header.ranks) {
    if (known.emplace(rank.hostname, rank.device_id).second) devices.push_back(rank.device_name);
  }
  lines.emplace_back("devices", counted(devices, 3));
  const auto provenance = [&](const char* key) {
    const auto found = header.provenance.find(key);
    return found != header.provenance.end() ? found->second : std::string{};
  };
  if (const std::string libraries = libraries_line(provenance("libraries")); !libraries.empty()) {
    lines.emplace_back("libraries", libraries);
  }
  if (const std::string labels = labels_line(provenance("labels")); !labels.empty())
    lines.emplace_back("labels", labels);
  if (header.device_fake) lines.emplace_back("WARNING", "made with a fake device: no figure here is a measurement");
  if (file.unfinished()) {
    lines.emplace_back("unfinished", "the run goes on or broke off ('rackproof recover' makes a result file of it)");
  } else if (header.recovered) {
    lines.emplace_back("recovered", "from a run that broke off");
  }
  std::string text;
  for (const auto& [key, value] : lines) {
    std::string label = fmt::format("{:<11}", key);
    for (const std::string& part : wrap(printable(value, 1000), page_width - label.size())) {
      text += label + part + "\n";
      label.assign(label.size(), ' ');
    }
  }
  return text;
}

// ---- the foot ----

std::string foot(const std::vector<std::pair<std::string, Status>>& shown) {
  std::string text = fmt::format("\n{} case{}", shown.size(), shown.size() == 1 ? "" : "s");
  static constexpr std::array<std::pair<Status, std::string_view>, 6> order{{{Status::passed, "passed"},
                                                                             {Status::mistrusted, "mistrusted"},
                                                                             {Status::failed, "failed"},
                                                                             {Status::error, "error"},
                                                                             {Status::skipped, "skipped"},
                                                                             {Status::not_run, "not run"}}};
  const char* separator = ": ";
  for (const auto& [status, name] : order) {
    const auto count = std::count_if(shown.begin(), shown.end(), [s = status](const auto& c) { return c.second == s; });
    if (count == 0) continue;
    text += fmt::format("{}{} {}", separator, count, name);
    separator = ", ";
  }
  text += "\n";
  constexpr std::size_t limit = 10;
  std::size_t bad = 0;
  for (const auto& [name, status] : shown) {
    if (status != Status::failed && status != Status::error) continue;
    if (++bad <= limit) text += fmt::format("{} {}\n", to_string(status), name);
  }
  if (bad > limit) text += fmt::format("and {} more\n", bad - limit);
  return text;
}

}  // namespace

std::string show(const std::filesystem::path& path, const ShowOptions& options) {
  std::regex wanted;
  try {
    wanted.assign(options.case_regex);
  } catch (const std::regex_error&) {
    throw usage_error(
        fmt::format("'{}' is no regular expression; write one such as '^gemm/bf16'", printable(options.case_regex)));
  }
  const ResultFile file(path);
  const RunHeader& header = file.header();
  Page page(file, options);
  std::string tables;
  std::vector<std::pair<std::string, Status>> shown;
  int by_device = 0;
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    std::vector<std::size_t> cases;
    for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
      const std::string& name = header.suites[s].cases[c].name;
      if (!std::regex_search(name, wanted)) continue;
      cases.push_back(c);
      shown.emplace_back(name, file.outcome(s, c).status);
      by_device += file.outcome(s, c).timer == Timer::device ? 1 : 0;
    }
    if (cases.empty()) continue;
    tables += options.quantiles ? "\n" + quantile_table(file, s, cases, page_width) : page.suite(s, cases);
    if (const std::string both = side_by_side(file, s, cases); !both.empty()) tables += "\n" + both;
  }
  if (shown.empty()) {
    throw usage_error(fmt::format("no case of {} matches '{}'; its first is '{}'", quoted(path),
                                  printable(options.case_regex), header.suites.front().cases.front().name));
  }
  const std::string timers =
      by_device == 0
          ? ""
          : fmt::format("\nTimes of {} case{} are by the devices' own clocks; the file has the host's beside them.\n",
                        by_device, by_device == 1 ? "" : "s");
  // Of the whole run, so not where single cases are asked for.
  constexpr std::size_t most_devices = 16;
  const std::string felt = options.case_regex.empty() && !options.quantiles
                               ? telemetry_report(file, options.ranks ? header.ranks.size() : most_devices)
                               : std::string{};
  return head(file) + tables + page.legend() + timers + (felt.empty() ? "" : "\n" + felt) + foot(shown);
}

}  // namespace rackproof::results

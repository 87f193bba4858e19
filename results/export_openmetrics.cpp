// For node_exporter's textfile collector, and for whatever reads OpenMetrics 1.0. The collector reads Prometheus' older
// text format alone (prometheus/node_exporter issue 1988) and refuses timestamps and types that this does not have
// (issues 1284 and phyber/jail_exporter 287). So: gauges alone, without timestamps; `# UNIT` and `# EOF` are comments
// in the one format and wanted in the other. Both of prometheus_client's parsers read it.
//
// No label has a value that is another in every run: what is stored for years stays as many series as there are cases.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "common/core/error.hpp"
#include "results/export_format.hpp"

namespace rackproof::results {
namespace {

std::string label_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

/// Base units, as Prometheus wants them, and what to multiply by to get there.
struct BaseUnit {
  std::string_view unit;
  std::string_view base;
  double factor;
};
constexpr std::array<BaseUnit, 15> base_units{{{"s", "seconds", 1.0},
                                               {"ms", "seconds", 1e-3},
                                               {"us", "seconds", 1e-6},
                                               {"ns", "seconds", 1e-9},
                                               {"%", "ratio", 1e-2},
                                               {"B/s", "bytes_per_second", 1.0},
                                               {"MB/s", "bytes_per_second", 1e6},
                                               {"GB/s", "bytes_per_second", 1e9},
                                               {"TB/s", "bytes_per_second", 1e12},
                                               {"GFLOP/s", "operations_per_second", 1e9},
                                               {"TFLOP/s", "operations_per_second", 1e12},
                                               {"TOP/s", "operations_per_second", 1e12},
                                               {"tokens/s", "tokens_per_second", 1.0},
                                               {"J", "joules", 1.0},
                                               {"J/token", "joules_per_token", 1.0}}};

/// What may stand in the name of a metric.
std::string metric_word(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    out += allowed ? c : '_';
  }
  return out;
}

/// A metric with its samples: they must stand together.
class Family {
 public:
  Family() = default;
  Family(std::string help, std::string unit) : help_(std::move(help)), unit_(std::move(unit)) {}

  /// Labels are given in their order. Nothing that is not finite; of the same labels, the first.
  void add(const std::vector<std::pair<std::string_view, std::string>>& labels, double value) {
    if (!std::isfinite(value)) return;
    std::string text;
    for (const auto& [name, label] : labels) {
      text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", name, label_escaped(label));
    }
    if (!seen_.insert(text).second) return;
    samples_.push_back(fmt::format("{} {}", text.empty() ? "" : "{" + text + "}", value));
  }

  [[nodiscard]] std::string text(const std::string& name) const {
    if (samples_.empty()) return {};
    std::string out = fmt::format("# HELP {0} {1}\n# TYPE {0} gauge\n", name, help_);
    if (!unit_.empty()) out += fmt::format("# UNIT {} {}\n", name, unit_);
    for (const std::string& sample : samples_) out += name + sample + "\n";
    return out;
  }

 private:
  std::string help_;
  std::string unit_;
  std::vector<std::string> samples_;
  std::set<std::string> seen_;
};

class MetricsText : public Exporter {
 public:
  using Exporter::Exporter;

  void add(const ExportedRun& run) override {
    const RunHeader& header = run.header();
    std::set<int> nodes;
    for (const RankHeader& rank : header.ranks) nodes.insert(rank.node_index);
    family("rackproof_run_start_time_seconds", "When the run began, since 1970.", "seconds")
        .add({}, run_seconds(run.file));
    family("rackproof_run_finished", "1 where every case was run, 0 where the run goes on or broke off.")
        .add({{"version", header.software_version}}, is_whole(run.file) ? 1.0 : 0.0);
    if (header.device_fake) family("rackproof_device_fake", "1: no figure is a measurement.").add({}, 1.0);
    family("rackproof_ranks", "Ranks of the run.").add({}, static_cast<double>(header.ranks.size()));
    family("rackproof_nodes", "Nodes of the run.").add({}, static_cast<double>(nodes.size()));
    for (std::size_t s = 0; s < run.cases.size(); ++s) {
      if (!run.cases[s].empty()) add_suite(run, s);
    }
  }

  void end() override {
    for (const std::string& name : order_) emit(families_.at(name).text(name));
    emit("# EOF\n");
  }

 private:
  Family& family(const std::string& name, const std::string& help, const std::string& unit = {}) {
    const auto [found, is_new] = families_.try_emplace(name, help, unit);
    if (is_new) order_.push_back(name);
    return found->second;
  }

  void add_suite(const ExportedRun& run, std::size_t s) {
    const SuiteHeader& suite = run.header().suites[s];
    static constexpr std::array<Status, 6> all{Status::not_run, Status::passed,  Status::mistrusted,
                                               Status::failed,  Status::skipped, Status::error};
    for (const Status status : all) {
      std::size_t count = 0;
      for (const std::size_t c : run.cases[s]) count += run.file.outcome(s, c).status == status ? 1U : 0U;
      family("rackproof_cases", "Cases by what became of them.")
          .add({{"suite", suite.name}, {"status", std::string(status_word(status))}}, static_cast<double>(count));
    }
    for (const std::size_t c : run.cases[s]) add_case(run.file, s, c);
  }

  void add_case(const ResultFile& file, std::size_t s, std::size_t c) {
    const CaseHeader& which = file.header().suites[s].cases[c];
    const CaseOutcome& outcome = file.outcome(s, c);
    if (outcome.status == Status::skipped) return;
    const std::vector<std::pair<std::string_view, std::string>> labels{{"suite", file.header().suites[s].name},
                                                                       {"case", which.name}};
    family("rackproof_case_passed", "1 where the case was measured and its check passed, else 0.")
        .add(labels, outcome.status == Status::passed ? 1.0 : 0.0);
    if (!is_measured(outcome)) return;
    const CaseSummary summary = summarise(file, s, c);
    if (summary.most == 0) return;
    family("rackproof_case_time_seconds", "Median time of an operation: of the job, or of the typical rank.", "seconds")
        .add(labels, summary.time.median);
    if (!which.collective && summary.ranks.size() > 1) {
      family("rackproof_case_slowest_rank_time_seconds", "Largest median time of a rank.", "seconds")
          .add(labels, summary.ranks[summary.slowest].time.median);
    }
    for (const FigureHeader& figure : which.figures) add_figure(labels, figure, figure_value(which, figure, summary));
  }

  void add_figure(const std::vector<std::pair<std::string_view, std::string>>& labels, const FigureHeader& figure,
                  double value) {
    std::string unit = metric_word(figure.unit);
    double factor = 1.0;
    for (const BaseUnit& known : base_units) {
      if (known.unit != figure.unit) continue;
      unit = known.base;
      factor = known.factor;
    }
    const std::string name = "rackproof_case_" + metric_word(figure.name) + (unit.empty() ? "" : "_" + unit);
    family(name, "A figure of the case, from its median time.", unit).add(labels, value * factor);
  }

  std::map<std::string, Family> families_;
  std::vector<std::string> order_;
};

}  // namespace

std::unique_ptr<Exporter> make_openmetrics_exporter(Exporter::Emit emit) {
  return std::make_unique<MetricsText>(std::move(emit));
}

}  // namespace rackproof::results

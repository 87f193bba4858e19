#include "results/export.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <regex>
#include <set>
#include <sstream>
#include <utility>

#include "common/core/error.hpp"
#include "common/stats/order_statistics.hpp"
#include "results/export_format.hpp"
#include "results/part_file.hpp"

namespace rackproof::results {
namespace {

constexpr std::array<std::pair<std::string_view, ExportFormat>, 6> export_formats{
    {{"csv", ExportFormat::csv},
     {"json", ExportFormat::json},
     {"junit", ExportFormat::junit},
     {"openmetrics", ExportFormat::openmetrics},
     {"ocptv", ExportFormat::ocptv},
     {"benchmark", ExportFormat::benchmark}}};

std::unique_ptr<Exporter> make_exporter(const ExportOptions& options, const Exporter::Emit& emit) {
  switch (options.format) {
    case ExportFormat::csv:
      return make_csv_exporter(emit, options.samples);
    case ExportFormat::json:
      return make_json_exporter(emit, options.samples);
    case ExportFormat::junit:
      return make_junit_exporter(emit);
    case ExportFormat::openmetrics:
      return make_openmetrics_exporter(emit);
    case ExportFormat::ocptv:
      return make_ocptv_exporter(emit);
    case ExportFormat::benchmark:
      return make_benchmark_exporter(emit);
  }
  return nullptr;
}

void check_export_options(const std::vector<std::filesystem::path>& files, const ExportOptions& options) {
  const bool tables = options.format == ExportFormat::csv || options.format == ExportFormat::json;
  if (options.samples && !tables) throw usage_error("--samples: only --format csv and json have room for them");
  const bool one_run = options.format == ExportFormat::openmetrics || options.format == ExportFormat::ocptv;
  if (one_run && files.size() != 1) {
    throw usage_error(fmt::format("--format {} is of one run: give one file, not {}",
                                  options.format == ExportFormat::ocptv ? "ocptv" : "openmetrics", files.size()));
  }
}

std::regex wanted_cases(const std::string& expression) {
  try {
    return std::regex(expression);
  } catch (const std::regex_error&) {
    throw usage_error(
        fmt::format("'{}' is no regular expression; write one such as '^gemm/bf16'", printable(expression)));
  }
}

ExportedRun select_cases(const ResultFile& file, const std::regex& wanted, const ExportOptions& options) {
  ExportedRun run{file, {}};
  bool some = false;
  for (const SuiteHeader& suite : file.header().suites) {
    std::vector<std::size_t>& cases = run.cases.emplace_back();
    for (std::size_t c = 0; c < suite.cases.size(); ++c) {
      const bool elsewhere = file.narrowed_to() && file.placement_of(run.cases.size() - 1, c) != *file.narrowed_to();
      if (!elsewhere && std::regex_search(suite.cases[c].name, wanted)) cases.push_back(c);
    }
    some = some || !cases.empty();
  }
  if (!some && !file.narrowed_to()) {
    throw usage_error(fmt::format("no case of {} matches '{}'; its first is '{}'", quoted(file.path()),
                                  printable(options.case_regex), file.header().suites.front().cases.front().name));
  }
  return run;
}

}  // namespace

ExportFormat parse_export_format(std::string_view name) {
  std::string known;
  for (const auto& [word, format] : export_formats) {
    if (word == name) return format;
    known += (known.empty() ? "" : ", ") + std::string(word);
  }
  throw usage_error(fmt::format("--format '{}': is none of {}", printable(name), known));
}

void export_results(const std::vector<std::filesystem::path>& files, const ExportOptions& options,
                    const std::function<void(std::string_view)>& emit) {
  check_export_options(files, options);
  const std::regex wanted = wanted_cases(options.case_regex);
  const std::unique_ptr<Exporter> exporter = make_exporter(options, emit);
  std::set<std::string> seen;
  exporter->begin();
  for (const std::filesystem::path& path : files) {
    const std::vector<ResultFile> placed = open_by_placement({&path, 1});
    const ResultFile& file = placed.front();
    if (const std::string why = why_no_measurement(file.header()); !why.empty() && !options.allow_fake) {
      throw usage_error(fmt::format(
          "{}: was made {}: no figure in it is a measurement; --allow-fake takes it nevertheless", quoted(path), why));
    }
    if (!seen.insert(file.header().run_id).second) {
      throw usage_error(
          fmt::format("{}: is of a run that another of the files is of, too ({})", quoted(path), file.header().run_id));
    }
    const bool one_run = options.format == ExportFormat::openmetrics || options.format == ExportFormat::ocptv;
    if (one_run && placed.size() > 1) {
      throw usage_error(fmt::format(
          "{}: was interrupted and went on on other hosts; --format csv and json tell them apart", quoted(path)));
    }
    // Each set of hosts is a run of its own here, with the cases that it measured.
    for (const ResultFile& one : placed) exporter->add(select_cases(one, wanted, options));
  }
  exporter->end();
}

// ---- what the formats share ----

bool is_whole(const ResultFile& file) {
  if (file.unfinished()) return false;
  for (std::size_t s = 0; s < file.header().suites.size(); ++s) {
    for (std::size_t c = 0; c < file.header().suites[s].cases.size(); ++c) {
      if (file.outcome(s, c).status == Status::not_run) return false;
    }
  }
  return true;
}

void for_each_block(const ResultFile& file, std::size_t suite, std::size_t which,
                    const std::function<void(const RankBlock&)>& use) {
  const auto ranks = static_cast<int>(file.header().ranks.size());
  const int step = file.ranks_per_block();
  for (int first = 0; first < ranks; first += step) use(file.block(suite, which, first, std::min(step, ranks - first)));
}

double figure_value(const CaseHeader& which, const FigureHeader& figure, const CaseSummary& summary) {
  if (which.collective) return summary.time.median > 0.0 ? figure.value(summary.time.median) : std::nan("");
  std::vector<double> values;
  for (const RankSummary& rank : summary.ranks) {
    if (rank.time.median > 0.0) values.push_back(figure.value(rank.time.median));
  }
  return values.empty() ? std::nan("") : stats::median(values);
}

std::string_view status_word(Status status) {
  static constexpr std::array<std::string_view, 6> words{"not_run", "passed",  "mistrusted",
                                                         "failed",  "skipped", "error"};
  return words.at(static_cast<std::size_t>(status));
}

std::string_view stop_word(StopReason reason) {
  static constexpr std::array<std::string_view, 5> words{"none", "converged", "budget", "max_samples", "certain"};
  return words.at(static_cast<std::size_t>(reason == StopReason::none ? 0 : static_cast<int>(reason) + 1));
}

std::string provenance_text(const RunHeader& header, std::string_view key) {
  const auto found = header.provenance.find(std::string(key));
  if (found == header.provenance.end()) return {};
  // Line by line: ends of lines are no control characters that matter here.
  std::string text;
  std::istringstream lines(found->second);
  for (std::string line; std::getline(lines, line);) text += (text.empty() ? "" : "\n") + printable(line, 1U << 20U);
  return text;
}

std::map<std::string, std::string> labels_of(const RunHeader& header) {
  const std::string text = provenance_text(header, "labels");
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(text, nullptr, false);
  std::map<std::string, std::string> labels;
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      labels[printable(key)] = value.is_string() ? printable(value.get<std::string>()) : json_line(value);
    }
  } else if (!text.empty()) {
    labels["labels"] = printable(text, 1000);
  }
  return labels;
}

nlohmann::ordered_json json_number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json json_value(const ParameterValue& value) {
  if (const auto* real = std::get_if<double>(&value)) return json_number(*real);
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
  return std::get<std::string>(value);
}

nlohmann::ordered_json json_parameters(const Parameters& parameters) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : parameters.entries()) json[name] = json_value(value);
  return json;
}

std::string json_line(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

double run_seconds(const ResultFile& file) {
  const std::string& text = file.header().date;
  // As the writer has it: "2026-03-05T14:03:22Z".
  std::istringstream in(text);
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  std::array<char, 6> marks{};
  in >> year >> marks[0] >> month >> marks[1] >> day >> marks[2] >> hour >> marks[3] >> minute >> marks[4] >> second >>
      marks[5];
  const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{month}, std::chrono::day{day}};
  const bool sound = !in.fail() && text.size() == 20 && std::string_view(marks.data(), marks.size()) == "--T::Z" &&
                     date.ok() && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second <= 60;
  if (!sound) {
    throw usage_error(
        fmt::format("{}: is no sound result file: its run's date is '{}', not one such as 2026-03-05T14:03:22Z",
                    quoted(file.path()), text));
  }
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return static_cast<double>(days) * 86400.0 + hour * 3600.0 + minute * 60.0 + second;
}

}  // namespace rackproof::results

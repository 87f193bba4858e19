// Google Benchmark's JSON, as its compare.py reads it and as `run --benchmark_out` writes it: the same names, figures
// as counters. The files are launches: each is one repetition of every case that it has, and cases that a run repeated
// (--benchmark_repetitions) are further ones.
#include <fmt/format.h>

#include <map>
#include <utility>

#include "results/export_format.hpp"

namespace rackproof::results {
namespace {

using Json = nlohmann::ordered_json;

/// The case's name without what the repetitions of one launch have behind it.
std::string name_without_repetition(const CaseHeader& which) {
  const ParameterValue* repetition = which.parameters.find("repetition");
  if (repetition == nullptr) return which.name;
  const std::string suffix = "/repetition" + rackproof::to_string(*repetition);
  return which.name.ends_with(suffix) ? which.name.substr(0, which.name.size() - suffix.size()) : which.name;
}

class BenchmarkDocument : public Exporter {
 public:
  using Exporter::Exporter;

  void add(const ExportedRun& run) override {
    const RunHeader& header = run.header();
    if (context_.is_null()) {
      context_ = {{"date", header.date},
                  {"host_name", header.ranks.front().hostname},
                  {"executable", "rackproof"},
                  {"rackproof", header.software_version},
                  {"ranks", fmt::format("{}", header.ranks.size())},
                  {"library_build_type", "release"}};
    }
    run_ids_.push_back(header.run_id);
    for (std::size_t s = 0; s < run.cases.size(); ++s) {
      for (const std::size_t c : run.cases[s]) add_case(run.file, s, c);
    }
  }

  void end() override {
    context_["runs"] = run_ids_;
    // compare.py would take a time of 0 for the best of all.
    context_["left_out"] = left_out_;
    Json benchmarks = Json::array();
    std::size_t family = 0;
    for (const std::string& name : order_) {
      std::vector<Json>& entries = entries_.at(name);
      for (std::size_t i = 0; i < entries.size(); ++i) {
        entries[i]["family_index"] = family;
        entries[i]["repetitions"] = entries.size();
        entries[i]["repetition_index"] = i;
        benchmarks.push_back(std::move(entries[i]));
      }
      ++family;
    }
    const Json document = {{"context", context_}, {"benchmarks", std::move(benchmarks)}};
    emit(document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }

 private:
  void add_case(const ResultFile& file, std::size_t s, std::size_t c) {
    const CaseHeader& which = file.header().suites[s].cases[c];
    const CaseOutcome& outcome = file.outcome(s, c);
    const CaseSummary summary = is_measured(outcome) ? summarise(file, s, c) : CaseSummary{};
    if (!(summary.time.median > 0.0)) {
      left_out_.push_back(fmt::format("{}: {}", which.name, status_word(outcome.status)));
      return;
    }
    const std::string name = name_without_repetition(which) + "/iterations:1/manual_time";
    // The CPU time is not known; compare.py wants one.
    const double time = summary.time.median * 1e6;
    Json json = {{"name", name},
                 {"family_index", 0},
                 {"per_family_instance_index", 0},
                 {"run_name", name},
                 {"run_type", "iteration"},
                 {"repetitions", 1},
                 {"repetition_index", 0},
                 {"threads", 1}};
    if (outcome.status == Status::failed || outcome.status == Status::error) {
      json["error_occurred"] = true;
      json["error_message"] =
          fmt::format("{}: {}", outcome.status == Status::failed ? "FAILED" : "ERROR", outcome.message);
    }
    if (outcome.status == Status::mistrusted) json["label"] = "MISTRUSTED " + outcome.message;
    json["iterations"] = summary.most;
    json["real_time"] = time;
    json["cpu_time"] = time;
    json["time_unit"] = "us";
    for (const FigureHeader& figure : which.figures) {
      json[figure.name + "[" + figure.unit + "]"] = json_number(figure_value(which, figure, summary));
    }
    const auto [found, is_new] = entries_.try_emplace(name);
    if (is_new) order_.push_back(name);
    found->second.push_back(std::move(json));
  }

  Json context_;
  std::vector<std::string> run_ids_;
  std::vector<std::string> left_out_;
  std::map<std::string, std::vector<Json>> entries_;
  std::vector<std::string> order_;
};

}  // namespace

std::unique_ptr<Exporter> make_benchmark_exporter(Exporter::Emit emit) {
  return std::make_unique<BenchmarkDocument>(std::move(emit));
}

}  // namespace rackproof::results

// OCP Test & Validation Output Specification 2.0 (opencomputeproject/ocp-diag-core, json_spec): JSON lines, a test step
// a case. Who was measured is hardwareInfo, one entry a rank; measurements and diagnoses of a rank refer to it.
//
// A result file knows when the run began, and no time of day of its cases: every line has the run's date.
#include <fmt/format.h>

#include <cmath>
#include <set>
#include <utility>

#include "results/export_format.hpp"

namespace rackproof::results {
namespace {

using Json = nlohmann::ordered_json;

std::string hardware_id(std::size_t rank) { return fmt::format("rank{}", rank); }

Json hardware_json(const RankHeader& rank, std::size_t number) {
  Json json = {{"hardwareInfoId", hardware_id(number)},
               {"name", rank.device_name.empty() ? rank.device_id : rank.device_name},
               {"computerSystem", rank.hostname},
               {"location", rank.device_id}};
  if (!rank.serial.empty()) json["serialNumber"] = rank.serial;
  json["partType"] = is_processor(rank) ? "CPU" : "GPU";
  return json;
}

/// Libraries with their versions: those of the first node, which alone of all nodes has to stand for the others.
Json software_json(const RunHeader& header) {
  Json all = Json::array();
  const Json nodes = Json::parse(provenance_text(header, "libraries"), nullptr, false);
  if (!nodes.is_array() || nodes.empty() || !nodes.front().is_object()) return all;
  const auto libraries = nodes.front().find("libraries");
  if (libraries == nodes.front().end() || !libraries->is_array()) return all;
  const auto text_of = [](const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? printable(found->get<std::string>()) : std::string{};
  };
  for (const Json& library : *libraries) {
    if (!library.is_object()) continue;
    const std::string path = text_of(library, "path");
    if (path.empty()) continue;
    Json json = {{"softwareInfoId", fmt::format("library{}", all.size())}, {"name", path.substr(path.rfind('/') + 1)}};
    if (const std::string version = text_of(library, "version"); !version.empty()) json["version"] = version;
    if (const std::string build = text_of(library, "build_id"); !build.empty()) json["revision"] = build;
    json["softwareType"] = "APPLICATION";
    all.push_back(std::move(json));
  }
  return all;
}

class OcpLines : public Exporter {
 public:
  using Exporter::Exporter;

  void add(const ExportedRun& run) override {
    static_cast<void>(run_seconds(run.file));  // else its date is no timestamp
    timestamp_ = run.header().date;
    line({{"schemaVersion", {{"major", 2}, {"minor", 0}}}});
    start(run);
    for (std::size_t s = 0; s < run.cases.size(); ++s) {
      for (const std::size_t c : run.cases[s]) step(run.file, s, c);
    }
    // SKIP: nothing was measured; ERROR: no verdict can be given.
    const bool broken = broken_ || !is_whole(run.file);
    const std::string_view status = broken ? "ERROR" : (passed_ || failed_ || unknown_) ? "COMPLETE" : "SKIP";
    const std::string_view result = failed_                                        ? "FAIL"
                                    : status == "COMPLETE" && passed_ && !unknown_ ? "PASS"
                                                                                   : "NOT_APPLICABLE";
    // The specification: without COMPLETE there is no result.
    line({{"testRunArtifact",
           {{"testRunEnd", {{"status", status}, {"result", status == "COMPLETE" ? result : "NOT_APPLICABLE"}}}}}});
  }

 private:
  void line(Json artifact) {
    artifact["sequenceNumber"] = sequence_++;
    artifact["timestamp"] = timestamp_;
    emit(json_line(artifact) + "\n");
  }

  void start(const ExportedRun& run) {
    const RunHeader& header = run.header();
    Json hardware = Json::array();
    std::set<std::string> hosts;
    for (std::size_t r = 0; r < header.ranks.size(); ++r) {
      hardware.push_back(hardware_json(header.ranks[r], r));
      hosts.insert(header.ranks[r].hostname);
    }
    Json platforms = Json::array();
    for (const std::string& host : hosts) platforms.push_back({{"info", host}});
    Json labels = Json::object();
    for (const auto& [key, value] : labels_of(header)) labels[key] = value;
    line({{"testRunArtifact",
           {{"testRunStart",
             {{"name", "rackproof"},
              {"version", header.software_version},
              {"commandLine", printable(provenance_text(header, "command"), 10000)},
              {"parameters", Json::object()},
              {"dutInfo",
               {{"dutInfoId", "0"},
                {"name", *hosts.begin()},
                {"platformInfos", std::move(platforms)},
                {"softwareInfos", software_json(header)},
                {"hardwareInfos", std::move(hardware)}}},
              {"metadata",
               {{"run_id", header.run_id}, {"labels", std::move(labels)}, {"device_fake", header.device_fake}}}}}}}});
  }

  void of_step(const std::string& id, const char* kind, Json content) {
    line({{"testStepArtifact", {{"testStepId", id}, {kind, std::move(content)}}}});
  }

  void measurement(const std::string& id, std::string_view name, double value, std::string_view unit, int rank = -1) {
    if (!std::isfinite(value)) return;
    Json json = {{"name", name}, {"value", value}};
    if (!unit.empty()) json["unit"] = unit;
    if (name == "verify_error") {
      json["validators"] = {{{"name", "tolerance"}, {"type", "LESS_THAN_OR_EQUAL"}, {"value", 1.0}}};
    }
    if (rank >= 0) json["hardwareInfoId"] = hardware_id(static_cast<std::size_t>(rank));
    of_step(id, "measurement", std::move(json));
  }

  void diagnosis(const std::string& id, const std::string& suite, Status status, const std::string& message,
                 int rank = -1) {
    const bool bad = status == Status::failed;
    const char* verdict = bad ? "check-failed" : status == Status::passed ? "check-passed" : "not-checked";
    Json json = {{"verdict", fmt::format("rackproof-{}-{}", suite, verdict)},
                 {"type", bad                        ? "FAIL"
                          : status == Status::passed ? "PASS"
                                                     : "UNKNOWN"}};
    if (!message.empty()) json["message"] = message;
    if (rank >= 0) json["hardwareInfoId"] = hardware_id(static_cast<std::size_t>(rank));
    of_step(id, "diagnosis", std::move(json));
  }

  void measured(const ResultFile& file, std::size_t s, std::size_t c, const CaseOutcome& outcome,
                const CaseSummary& summary, const std::string& id) {
    const SuiteHeader& suite = file.header().suites[s];
    const CaseHeader& which = suite.cases[c];
    measurement(id, "time", summary.time.median, "s");
    for (const FigureHeader& figure : which.figures) {
      measurement(id, figure.name, figure_value(which, figure, summary), figure.unit);
    }
    for (std::size_t r = 0; r < summary.ranks.size(); ++r) {
      const RankSummary& rank = summary.ranks[r];
      measurement(id, "rank_time", rank.time.median, "s", static_cast<int>(r));
      measurement(id, "verify_error", rank.verify_error, "", static_cast<int>(r));
    }
    if (outcome.status == Status::error) return;
    diagnosis(id, suite.name, outcome.status, outcome.message);
    // Whose result it was that is wrong, where the check says so. NaN that was measured is wrong, too, but not told
    // from what nobody looked at.
    for (std::size_t r = 0; outcome.status == Status::failed && r < summary.ranks.size(); ++r) {
      if (summary.ranks[r].verify_error > 1.0) {
        diagnosis(id, suite.name, outcome.status, "this rank's result is wrong", static_cast<int>(r));
      }
    }
  }

  void step(const ResultFile& file, std::size_t s, std::size_t c) {
    const SuiteHeader& suite = file.header().suites[s];
    CaseOutcome outcome = file.outcome(s, c);
    const std::string id = fmt::format("{}", step_++);
    of_step(id, "testStepStart", {{"name", suite.cases[c].name}});
    const char* status = "COMPLETE";
    if (is_measured(outcome)) {
      const CaseSummary summary = summarise(file, s, c);
      outcome = believed(outcome, summary);
      measured(file, s, c, outcome, summary, id);
    }
    switch (outcome.status) {
      case Status::passed:
        passed_ = true;
        break;
      case Status::failed:
        failed_ = true;
        break;
      case Status::mistrusted:
        unknown_ = true;
        break;
      case Status::error:
        of_step(id, "error", {{"symptom", "case-broke-off"}, {"message", outcome.message}});
        status = "ERROR";
        broken_ = true;
        break;
      case Status::not_run:
        of_step(id, "error", {{"symptom", "not-run"}, {"message", "the run ended before it"}});
        status = "ERROR";
        broken_ = true;
        break;
      case Status::skipped:
        of_step(id, "log", {{"severity", "INFO"}, {"message", outcome.message}});
        status = "SKIP";
        break;
    }
    of_step(id, "testStepEnd", {{"status", status}});
  }

  std::string timestamp_;
  std::uint64_t sequence_ = 0;
  std::size_t step_ = 0;
  bool passed_ = false;
  bool failed_ = false;
  bool unknown_ = false;  ///< some case was not checked
  bool broken_ = false;
};

}  // namespace

std::unique_ptr<Exporter> make_ocptv_exporter(Exporter::Emit emit) {
  return std::make_unique<OcpLines>(std::move(emit));
}

}  // namespace rackproof::results

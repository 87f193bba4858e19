// One JSON document, "rackproof-export", version 1: README.md of this folder has its keys. Written a case at a time, so
// that a file of many ranks need not be in memory as a tree.
#include <fmt/format.h>

#include <span>
#include <utility>

#include "results/export_format.hpp"

namespace rackproof::results {
namespace {

using Json = nlohmann::ordered_json;

Json middle_json(const Middle& middle) {
  return {{"median", json_number(middle.median)}, {"low", json_number(middle.low)}, {"high", json_number(middle.high)}};
}

Json rank_json(const RankHeader& rank) {
  return {{"hostname", rank.hostname},
          {"node_index", rank.node_index},
          {"local_rank", rank.local_rank},
          {"device_id", rank.device_id},
          {"device_name", rank.device_name},
          {"serial", rank.serial},
          {"uuid", rank.uuid}};
}

Json run_json(const ExportedRun& run) {
  const RunHeader& header = run.header();
  Json json = {{"run_id", header.run_id},           {"date", header.date},
               {"software", header.software},       {"software_version", header.software_version},
               {"finished", is_whole(run.file)},    {"recovered", header.recovered},
               {"device_fake", header.device_fake}, {"labels", labels_of(header)}};
  Json& provenance = json["provenance"] = Json::object();
  for (const auto& [key, value] : header.provenance) {
    // Structured where it is: JSON in JSON would have to be read twice.
    const std::string text = provenance_text(header, key);
    Json parsed = Json::parse(text, nullptr, false);
    const bool structured = parsed.is_object() || parsed.is_array();
    provenance[printable(key)] = structured ? std::move(parsed) : Json(text);
  }
  Json& ranks = json["ranks"] = Json::array();
  for (const RankHeader& rank : header.ranks) ranks.push_back(rank_json(rank));
  return json;
}

Json case_json(const CaseHeader& which, const CaseOutcome& outcome) {
  return {{"name", which.name},
          {"status", status_word(outcome.status)},
          {"message", outcome.message},
          {"collective", which.collective},
          {"parameters", json_parameters(which.parameters)},
          {"message_size", which.message_size},
          {"flop", json_number(which.flop)},
          {"bytes", json_number(which.bytes)},
          {"tokens", json_number(which.tokens)},
          {"implementation", outcome.implementation},
          {"operations", outcome.operations},
          {"timer", outcome.timer == Timer::device ? "device" : "host"},
          {"stop_reason", stop_word(outcome.stop_reason)},
          {"warmup_steps", outcome.warmup_steps},
          {"clock_error_s", json_number(outcome.clock_error)}};
}

/// One array a quantity, one entry a rank.
Json ranks_json(const CaseSummary& summary) {
  Json json = {{"samples", Json::array()},     {"time_s", Json::array()},     {"time_low_s", Json::array()},
               {"time_high_s", Json::array()}, {"late_share", Json::array()}, {"verify_error", Json::array()},
               {"digest", Json::array()}};
  for (const RankSummary& rank : summary.ranks) {
    json["samples"].push_back(rank.samples);
    json["time_s"].push_back(json_number(rank.time.median));
    json["time_low_s"].push_back(json_number(rank.time.low));
    json["time_high_s"].push_back(json_number(rank.time.high));
    json["late_share"].push_back(json_number(rank.late));
    json["verify_error"].push_back(json_number(rank.verify_error));
    // Text: 64 bits do not fit a number of JavaScript.
    json["digest"].push_back(rank.digest == 0 ? Json(nullptr) : Json(fmt::format("{:016x}", rank.digest)));
  }
  return json;
}

Json figures_json(const CaseHeader& which, const CaseSummary& summary) {
  Json json = Json::array();
  for (const FigureHeader& figure : which.figures) {
    json.push_back(
        {{"name", figure.name}, {"unit", figure.unit}, {"value", json_number(figure_value(which, figure, summary))}});
  }
  return json;
}

Json numbers_json(std::span<const double> values) {
  Json json = Json::array();
  for (const double value : values) json.push_back(json_number(value));
  return json;
}

class JsonDocument : public Exporter {
 public:
  JsonDocument(Emit emit, bool samples) : Exporter(std::move(emit)), samples_(samples) {}

  void begin() override { emit("{\"schema_name\":\"rackproof-export\",\"schema_version\":1,\"runs\":["); }

  void add(const ExportedRun& run) override {
    const std::string head = json_line(run_json(run));
    // The run's object stays open for its suites.
    emit(fmt::format("{}\n{},\"suites\":[", std::exchange(first_run_, false) ? "" : ",",
                     head.substr(0, head.size() - 1)));
    bool first_suite = true;
    for (std::size_t s = 0; s < run.cases.size(); ++s) {
      if (run.cases[s].empty()) continue;
      const SuiteHeader& suite = run.header().suites[s];
      emit(fmt::format("{}\n{{\"name\":{},\"cases\":[", std::exchange(first_suite, false) ? "" : ",",
                       json_line(suite.name)));
      bool first_case = true;
      for (const std::size_t c : run.cases[s]) {
        emit(std::exchange(first_case, false) ? "\n" : ",\n");
        emit_case(run.file, s, c);
      }
      emit("]}");
    }
    emit("]}");
  }

  void end() override { emit("\n]}\n"); }

 private:
  void emit_case(const ResultFile& file, std::size_t s, std::size_t c) const {
    const CaseHeader& which = file.header().suites[s].cases[c];
    const CaseOutcome& outcome = file.outcome(s, c);
    Json json = case_json(which, outcome);
    if (!is_measured(outcome)) return emit(json_line(json));
    const CaseSummary summary = summarise(file, s, c);
    json["time_s"] = middle_json(summary.time);
    json["figures"] = figures_json(which, summary);
    json["ranks"] = ranks_json(summary);
    Json partners = Json::array();
    if (!samples_ && !file.header().suites[s].pairs) return emit(json_line(json));
    if (samples_) json["job_time_s"] = numbers_json(file.figure_time(s, c));
    if (samples_) json["warmup_time_s"] = numbers_json(file.warmup_time(s, c));
    const std::string head = json_line(json);
    emit(head.substr(0, head.size() - 1));
    if (samples_) emit(",\"sample_time_s\":[");
    bool first_rank = true;
    for_each_block(file, s, c, [&](const RankBlock& block) {
      for (const std::int32_t partner : block.partner) partners.push_back(partner);
      for (std::size_t row = 0; samples_ && row < block.samples.size(); ++row) {
        const auto times =
            std::span(block.time)
                .subspan(row * static_cast<std::size_t>(block.columns), static_cast<std::size_t>(block.samples[row]));
        emit(std::exchange(first_rank, false) ? "\n" : ",\n");
        emit(json_line(numbers_json(times)));
      }
    });
    if (samples_) emit("]");
    if (!partners.empty()) emit(",\"partners\":" + json_line(partners));
    emit("}");
  }

  bool samples_;
  bool first_run_ = true;
};

}  // namespace

std::unique_ptr<Exporter> make_json_exporter(Exporter::Emit emit, bool samples) {
  return std::make_unique<JsonDocument>(std::move(emit), samples);
}

}  // namespace rackproof::results

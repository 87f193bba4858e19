// A comparison as one JSON document, "rackproof-comparison", version 1: README.md of this folder has its keys.
#include "common/core/error.hpp"
#include "results/compare.hpp"
#include "results/export_format.hpp"

namespace rackproof::results {
namespace {

using ordered = nlohmann::ordered_json;

ordered verdict_json(const stats::LaunchVerdict& verdict) {
  const char* const method = verdict.method == stats::RankSumMethod::normal            ? "normal"
                             : verdict.method == stats::RankSumMethod::exact_with_ties ? "exact_with_ties"
                                                                                       : "exact";
  const bool many = verdict.launches_needed > stats::most_launches;
  return {{"time_ratio", json_number(verdict.ratio)},
          {"low", json_number(verdict.low)},
          {"high", json_number(verdict.high)},
          {"p", json_number(verdict.p)},
          {"p_holm", json_number(verdict.adjusted_p)},
          {"method", method},
          {"spread", json_number(verdict.spread)},
          {"launches_needed", many ? ordered(nullptr) : ordered(verdict.launches_needed)},
          {"launches_needed_at_least", verdict.at_least}};
}

ordered times_json(const ComparedTimes& times, const FigureHeader& figure) {
  ordered json = {{"time_s", json_number(times.median)}, {"launch_time_s", ordered::array()}};
  for (const double time : times.times) json["launch_time_s"].push_back(json_number(time));
  if (!figure.name.empty()) json["figure"] = json_number(figure.value(times.median));
  return json;
}

ordered compared_case_json(const ComparedCase& one) {
  ordered json = {{"suite", one.suite},
                  {"name", one.name},
                  {"verdict", to_string(one.call)},
                  {"note", one.note},
                  {"mistrusted", one.mistrusted},
                  {"margin", json_number(one.margin)},
                  {"figure", one.figure.name},
                  {"unit", one.figure.unit},
                  {"base", times_json(one.base, one.figure)},
                  {"other", times_json(one.other, one.figure)}};
  if (is_judged(one.call)) json.update(verdict_json(one.verdict));
  return json;
}

ordered compared_suite_json(const ComparedSuite& suite) {
  return {{"name", suite.name},
          {"faster", suite.faster},
          {"slower", suite.slower},
          {"same", suite.same},
          {"inconclusive", suite.inconclusive},
          {"missing_failed_different", suite.failing},
          {"skipped", suite.skipped},
          {"cases", suite.cases},
          {"time_ratio", json_number(suite.ratio)},
          {"low", json_number(suite.low)},
          {"high", json_number(suite.high)}};
}

ordered compared_device_json(const ComparedDevice& device) {
  ordered json = {{"rank", device.rank},
                  {"name", device.name},
                  {"identity", device.identity},
                  {"verdict", to_string(device.call)},
                  {"margin", json_number(device.margin)}};
  json.update(verdict_json(device.verdict));
  return json;
}

ordered side_json(const CompareSide& side) {
  ordered json = {{"name", side.name}, {"files", ordered::array()}};
  for (const std::filesystem::path& file : side.files) json["files"].push_back(file.string());
  return json;
}

ordered contrast_json(const Contrast& contrast, const CompareSide& side) {
  ordered json = side_json(side);
  for (const char* key : {"differences", "cases", "suites", "devices"}) json[key] = ordered::array();
  for (const ProvenanceDifference& one : contrast.differences) {
    json["differences"].push_back({{"subject", one.subject}, {"base", one.base}, {"other", one.other}});
  }
  for (const ComparedCase& one : contrast.cases) json["cases"].push_back(compared_case_json(one));
  for (const ComparedSuite& suite : contrast.suites) json["suites"].push_back(compared_suite_json(suite));
  for (const ComparedDevice& device : contrast.devices) json["devices"].push_back(compared_device_json(device));
  json["devices_compared"] = contrast.devices_compared;
  return json;
}

const char* verdict_word(ExitCode code) {
  if (code == ExitCode::pass) return "PASS";
  return code == ExitCode::fail ? "FAIL" : "INCONCLUSIVE";
}

}  // namespace

std::string comparison_json(const Comparison& comparison) {
  ordered json = {{"schema_name", "rackproof-comparison"},
                  {"schema_version", 1},
                  {"verdict", verdict_word(verdict_of(comparison))},
                  {"alpha", comparison.alpha},
                  {"confidence", comparison.confidence},
                  {"p_values", comparison.family},
                  {"fewest_launches", comparison.fewest_launches},
                  {"cases_left_out", comparison.left_out},
                  {"warnings", comparison.warnings},
                  {"new_in_every_launch", comparison.restless},
                  {"base", side_json(comparison.base)},
                  {"others", ordered::array()}};
  for (std::size_t i = 0; i < comparison.contrasts.size(); ++i) {
    json["others"].push_back(contrast_json(comparison.contrasts[i], comparison.others[i]));
  }
  return json_line(json) + "\n";
}

}  // namespace rackproof::results

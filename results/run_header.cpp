#include "results/run_header.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "common/core/error.hpp"
#include "results/schema.hpp"

namespace rackproof::results {

bool is_processor(const RankHeader& rank) { return rank.device_id.starts_with("host:"); }

std::vector<std::string> planted_faults(const RunHeader& header) {
  const auto text = header.provenance.find(schema::planted);
  if (text == header.provenance.end()) return {};
  const nlohmann::json list = nlohmann::json::parse(text->second, nullptr, false);
  std::vector<std::string> faults;
  if (list.is_array()) {
    for (const auto& one : list) {
      if (one.is_string()) faults.push_back(printable(one.get<std::string>()));
    }
  }
  // Whatever somebody wrote there, it is no file of a rack as it is.
  if (faults.empty()) faults.emplace_back("?");
  return faults;
}

std::string why_no_measurement(const RunHeader& header) {
  std::string why = header.device_fake ? "with a fake device" : "";
  const std::vector<std::string> planted = planted_faults(header);
  if (!planted.empty()) {
    why += fmt::format("{}with planted faults ({})", why.empty() ? "" : " and ", fmt::join(planted, ", "));
  }
  return why;
}

}  // namespace rackproof::results

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "results/html.hpp"
#include "results/report/sections.hpp"

namespace rackproof::results {
namespace {

std::size_t count_of(const ReportData& data, Status status) {
  return static_cast<std::size_t>(std::count_if(data.cases.begin(), data.cases.end(),
                                                [&](const ReportCase& one) { return data.status(one) == status; }));
}

}  // namespace

std::string verdict_section(const ReportData& data, const ReportOptions& options) {
  const bool fake =
      std::any_of(data.runs.begin(), data.runs.end(), [](const ReportRun& run) { return run.run().device_fake; });
  if (fake && !options.allow_fake) {
    return "<section class=\"verdict warn\"><strong>NOT JUDGED</strong><p>Made with a fake device: no figure here is a "
           "measurement.</p></section>\n";
  }
  const std::size_t bad = count_of(data, Status::failed) + count_of(data, Status::error);
  const std::size_t open = count_of(data, Status::mistrusted) + count_of(data, Status::not_run);
  const char* kind = bad > 0 ? "bad" : open > 0 ? "warn" : "good";
  const char* word = bad > 0 ? "FAIL" : open > 0 ? "INCONCLUSIVE" : "PASS";
  return fmt::format("<section class=\"verdict {}\"><strong>{}</strong><p>{} of {} cases passed.</p></section>\n", kind,
                     word, count_of(data, Status::passed), data.cases.size());
}

}  // namespace rackproof::results

// JUnit XML, of the elements and attributes that Jenkins, GitLab and GitHub's reporters agree on (Jenkins'
// junit-10.xsd): a testsuite a suite of a run, a testcase a case. JUnit knows passed, failure, error and skipped alone:
//   failed      failure
//   mistrusted  failure: nobody checked the result, so that it must not count as passed
//   error       error
//   not run     error: the run ended before it; what is missing has not passed
//   skipped     skipped
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "common/core/units.hpp"
#include "results/export_format.hpp"
#include "results/html.hpp"

namespace rackproof::results {
namespace {

/// For attributes and text. Beside markup, XML 1.0 has no place for most control characters and for U+FFFE and U+FFFF;
/// the text is valid UTF-8.
std::string xml_escaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const std::string_view three = text.substr(i, 3);
    const bool is_no_character = three == "\xef\xbf\xbe" || three == "\xef\xbf\xbf";
    plain += is_no_character || (static_cast<unsigned char>(c) < 0x20 && c != '\n') ? '?' : c;
    if (is_no_character) i += 2;
  }
  return with_references(plain);
}

/// s that the case took to measure, warming up included: of the job, as far as the file knows.
double seconds_taken(const ResultFile& file, std::size_t suite, std::size_t which) {
  const int operations = file.outcome(suite, which).operations;
  double seconds = 0.0;
  for (const double time : file.figure_time(suite, which)) seconds += time * operations;
  for (const double time : file.warmup_time(suite, which)) seconds += time * operations;
  return std::isfinite(seconds) ? seconds : 0.0;
}

struct JunitCount {
  std::size_t tests = 0;
  std::size_t failures = 0;
  std::size_t errors = 0;
  std::size_t skipped = 0;
  double seconds = 0.0;

  void add(Status status) {
    ++tests;
    failures += status == Status::failed || status == Status::mistrusted ? 1U : 0U;
    errors += status == Status::error || status == Status::not_run ? 1U : 0U;
    skipped += status == Status::skipped ? 1U : 0U;
  }
};

/// What stands inside of the testcase; empty for one that passed.
std::string verdict_element(const CaseOutcome& outcome) {
  const auto element = [](std::string_view name, std::string_view type, const std::string& message) {
    const std::string text = xml_escaped(message);
    return fmt::format("      <{0} type=\"{1}\" message=\"{2}\">{2}</{0}>\n", name, type, text);
  };
  const auto message_or = [&](const char* other) { return outcome.message.empty() ? other : outcome.message; };
  switch (outcome.status) {
    case Status::passed:
      return {};
    case Status::failed:
      return element("failure", "failed", message_or("its check failed"));
    case Status::mistrusted:
      return element("failure", "mistrusted", message_or("its result was not checked"));
    case Status::error:
      return element("error", "error", message_or("it broke off"));
    case Status::not_run:
      return element("error", "not_run", "the run ended before it");
    case Status::skipped:
      return fmt::format("      <skipped message=\"{}\"/>\n", xml_escaped(message_or("no reason given")));
  }
  return {};
}

/// What was measured, for people.
std::string output_element(const ResultFile& file, std::size_t suite, std::size_t c, const CaseSummary& summary) {
  const CaseHeader& which = file.header().suites[suite].cases[c];
  if (summary.most == 0) return {};
  std::string text = fmt::format("time {}", format_duration(summary.time.median));
  if (std::isfinite(summary.time.low) && std::isfinite(summary.time.high)) {
    text += fmt::format(" (95 %: {} to {})", format_duration(summary.time.low), format_duration(summary.time.high));
  }
  text += fmt::format(", {} samples a rank", summary.most);
  for (const FigureHeader& figure : which.figures) {
    text += fmt::format("\n{} {} {}", figure.name, format_number(figure_value(which, figure, summary)), figure.unit);
  }
  if (!which.collective && summary.ranks.size() > 1) {
    const RankHeader& slowest = file.header().ranks[summary.slowest];
    text += fmt::format("\nslowest: rank {} ({}, {}{}{}), {}", summary.slowest, slowest.hostname, slowest.device_id,
                        slowest.serial.empty() ? "" : ", serial ", slowest.serial,
                        format_duration(summary.ranks[summary.slowest].time.median));
  }
  return fmt::format("      <system-out>{}</system-out>\n", xml_escaped(text));
}

class JunitDocument : public Exporter {
 public:
  using Exporter::Exporter;

  void begin() override { emit("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"rackproof\">\n"); }

  void add(const ExportedRun& run) override {
    for (std::size_t s = 0; s < run.cases.size(); ++s) {
      if (!run.cases[s].empty()) add_suite(run, s);
    }
  }

  void end() override { emit("</testsuites>\n"); }

 private:
  void add_suite(const ExportedRun& run, std::size_t s) const {
    const RunHeader& header = run.header();
    JunitCount count;
    std::string cases;
    for (const std::size_t c : run.cases[s]) {
      const bool measured = is_measured(run.file.outcome(s, c));
      const CaseSummary summary = measured ? summarise(run.file, s, c) : CaseSummary{};
      const CaseOutcome outcome = measured ? believed(run.file.outcome(s, c), summary) : run.file.outcome(s, c);
      const double seconds = measured ? seconds_taken(run.file, s, c) : 0.0;
      count.add(outcome.status);
      count.seconds += seconds;
      const std::string inside =
          verdict_element(outcome) + (measured ? output_element(run.file, s, c, summary) : std::string{});
      cases += fmt::format("    <testcase classname=\"rackproof.{}\" name=\"{}\" time=\"{:.3f}\"{}",
                           xml_escaped(header.suites[s].name), xml_escaped(header.suites[s].cases[c].name), seconds,
                           inside.empty() ? "/>\n" : ">\n");
      if (!inside.empty()) cases += inside + "    </testcase>\n";
    }
    // Without the zone, as junit-10.xsd's ancestors want it; the properties have all of it.
    std::string timestamp = header.date;
    if (timestamp.ends_with('Z')) timestamp.pop_back();
    emit(
        fmt::format("  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" "
                    "time=\"{:.3f}\" timestamp=\"{}\" hostname=\"{}\">\n    <properties>\n",
                    xml_escaped(header.suites[s].name), count.tests, count.failures, count.errors, count.skipped,
                    count.seconds, xml_escaped(timestamp), xml_escaped(header.ranks.front().hostname)));
    const auto property = [this](std::string_view name, std::string_view value) {
      emit(fmt::format("      <property name=\"{}\" value=\"{}\"/>\n", xml_escaped(name), xml_escaped(value)));
    };
    property("run_id", header.run_id);
    property("date", header.date);
    property("software", header.software + " " + header.software_version);
    property("ranks", fmt::format("{}", header.ranks.size()));
    property("finished", is_whole(run.file) ? "true" : "false");
    if (header.device_fake) property("device_fake", "true");
    for (const auto& [key, value] : labels_of(header)) property("label." + key, value);
    emit("    </properties>\n");
    emit(cases);
    emit("  </testsuite>\n");
  }
};

}  // namespace

std::unique_ptr<Exporter> make_junit_exporter(Exporter::Emit emit) {
  return std::make_unique<JunitDocument>(std::move(emit));
}

}  // namespace rackproof::results

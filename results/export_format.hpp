// What the formats of export have in common. Internal to this folder.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/core/error.hpp"
#include "common/core/parameters.hpp"
#include "results/case_summary.hpp"
#include "results/export.hpp"
#include "results/reader.hpp"

namespace rackproof::results {

/// A file and those of its cases that are exported.
struct ExportedRun {
  const ResultFile& file;
  std::vector<std::vector<std::size_t>> cases;  ///< by suite: positions in the header

  [[nodiscard]] const RunHeader& header() const { return file.header(); }
};

/// One format. The files come one after the other, each but once.
class Exporter {
 public:
  using Emit = std::function<void(std::string_view)>;

  explicit Exporter(Emit emit) : emit_(std::move(emit)) {}
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;
  virtual ~Exporter() = default;

  virtual void begin() {}
  virtual void add(const ExportedRun& run) = 0;
  virtual void end() {}

 protected:
  void emit(std::string_view text) const { emit_(text); }

 private:
  Emit emit_;
};

std::unique_ptr<Exporter> make_csv_exporter(Exporter::Emit emit, bool samples);
std::unique_ptr<Exporter> make_json_exporter(Exporter::Emit emit, bool samples);
std::unique_ptr<Exporter> make_junit_exporter(Exporter::Emit emit);
std::unique_ptr<Exporter> make_openmetrics_exporter(Exporter::Emit emit);
std::unique_ptr<Exporter> make_ocptv_exporter(Exporter::Emit emit);
std::unique_ptr<Exporter> make_benchmark_exporter(Exporter::Emit emit);

/// False where the run goes on, broke off, or was recovered without some of its cases.
[[nodiscard]] bool is_whole(const ResultFile& file);

/// Blocks of the case's samples, rank after rank, in bounded memory.
void for_each_block(const ResultFile& file, std::size_t suite, std::size_t which,
                    const std::function<void(const RankBlock&)>& use);

/// The figure's number: of the job's time, or, where every rank works on its own, the median over ranks of theirs, as
/// `show` prints it. NaN where nothing was measured.
[[nodiscard]] double figure_value(const CaseHeader& which, const FigureHeader& figure, const CaseSummary& summary);

/// "not_run", "passed", "mistrusted", "failed", "skipped", "error".
[[nodiscard]] std::string_view status_word(Status status);
/// "none", "converged", "budget", "max_samples", "certain".
[[nodiscard]] std::string_view stop_word(StopReason reason);

/// Text of the provenance, or empty. What cannot stand in UTF-8 is replaced.
[[nodiscard]] std::string provenance_text(const RunHeader& header, std::string_view key);
/// The labels of the run; one `labels` with the text where that is no JSON object of texts.
[[nodiscard]] std::map<std::string, std::string> labels_of(const RunHeader& header);

/// A number, or null where it is not finite: JSON has no NaN.
[[nodiscard]] nlohmann::ordered_json json_number(double value);
/// Of a parameter.
[[nodiscard]] nlohmann::ordered_json json_value(const ParameterValue& value);
[[nodiscard]] nlohmann::ordered_json json_parameters(const Parameters& parameters);
/// On one line; what is no UTF-8 is replaced.
[[nodiscard]] std::string json_line(const nlohmann::ordered_json& value);

/// When the run began: seconds since 1970, UTC. Throws Error (usage) where its date is none.
[[nodiscard]] double run_seconds(const ResultFile& file);

}  // namespace rackproof::results

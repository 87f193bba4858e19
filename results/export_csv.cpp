// A long table: one row a case and rank, or a sample, with the same columns and types for every file, so that tables
// can be put under one another and into Parquet. RFC 4180: commas, quotes doubled, lines that end in CR LF.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include "results/export_format.hpp"

namespace rackproof::results {
namespace {

/// Fields of a row, one after the other. Numbers that are unknown or not finite are empty.
class CsvRow {
 public:
  CsvRow& text(std::string_view value) {
    separate();
    // Spreadsheets take what begins like this for a formula, in quotes or not, and run it: a ' in front, which they do
    // not show, makes it text (OWASP, "CSV injection"). Some of them know full-width signs, too.
    static constexpr std::array<std::string_view, 8> signs{"=", "+", "-", "@", "＝", "＋", "－", "＠"};
    bool formula = false;
    for (const std::string_view sign : signs) formula = formula || value.starts_with(sign);
    const bool quotes = value.find_first_of("\",\r\n\t;") != std::string_view::npos;
    if (quotes) row_ += '"';
    if (formula) row_ += '\'';
    for (const char c : value) {
      row_ += c;
      if (c == '"') row_ += c;
    }
    if (quotes) row_ += '"';
    return *this;
  }
  CsvRow& number(double value) {
    separate();
    if (std::isfinite(value)) fmt::format_to(std::back_inserter(row_), "{}", value);
    return *this;
  }
  template <typename Integer>
  CsvRow& integer(Integer value) {
    separate();
    fmt::format_to(std::back_inserter(row_), "{}", value);
    return *this;
  }
  CsvRow& flag(bool value) { return integer(value ? 1 : 0); }
  CsvRow& nothing() {
    separate();
    return *this;
  }
  [[nodiscard]] const std::string& fields() const { return row_; }

 private:
  void separate() {
    if (!first_) row_ += ',';
    first_ = false;
  }
  std::string row_;
  bool first_ = true;
};

constexpr std::string_view run_columns =
    "run_id,date,software_version,device_fake,recovered,finished,labels,suite,case,status,collective,parameters,"
    "message_size,flop,bytes,tokens,operations,timer";
constexpr std::string_view rank_columns = "rank,node_index,local_rank,hostname,device_id,device_name,serial,uuid";
constexpr std::string_view summary_columns =
    "partner,samples,time_s,time_low_s,time_high_s,late_share,verify_error,digest,job_time_s,job_time_low_s,"
    "job_time_high_s,figure,figure_unit,figure_value,job_figure_value,stop_reason,warmup_steps,clock_error_s,"
    "implementation,message";
constexpr std::string_view sample_columns =
    "partner,sample,time_s,host_time_s,begin_s,job_time_s,late,barrier,short,switches,probe_s,steal_s";

CsvRow case_fields(const ExportedRun& run, std::size_t suite, std::size_t which, const std::string& labels) {
  const RunHeader& header = run.header();
  const CaseHeader& one = header.suites[suite].cases[which];
  const CaseOutcome& outcome = run.file.outcome(suite, which);
  CsvRow row;
  row.text(header.run_id).text(header.date).text(header.software_version);
  row.flag(header.device_fake).flag(header.recovered).flag(is_whole(run.file)).text(labels);
  row.text(header.suites[suite].name).text(one.name).text(status_word(outcome.status)).flag(one.collective);
  row.text(json_line(json_parameters(one.parameters))).integer(one.message_size);
  row.number(one.flop).number(one.bytes).number(one.tokens).integer(outcome.operations);
  return std::move(row.text(outcome.timer == Timer::device ? "device" : "host"));
}

CsvRow rank_fields(const RankHeader& rank, std::size_t number) {
  CsvRow row;
  row.integer(number).integer(rank.node_index).integer(rank.local_rank).text(rank.hostname).text(rank.device_id);
  return std::move(row.text(rank.device_name).text(rank.serial).text(rank.uuid));
}

std::string labels_text(const RunHeader& header) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [key, value] : labels_of(header)) json[key] = value;
  return json_line(json);
}

/// Calls `use` for each case that is exported.
template <typename Use>
void for_each_case(const ExportedRun& run, Use&& use) {
  for (std::size_t s = 0; s < run.cases.size(); ++s) {
    for (const std::size_t c : run.cases[s]) use(s, c);
  }
}

class SummaryTable : public Exporter {
 public:
  using Exporter::Exporter;

  void begin() override { emit(fmt::format("{},{},{}\r\n", run_columns, rank_columns, summary_columns)); }

  void add(const ExportedRun& run) override {
    const std::string labels = labels_text(run.header());
    std::vector<std::string> ranks;
    for (std::size_t r = 0; r < run.header().ranks.size(); ++r) {
      ranks.push_back(rank_fields(run.header().ranks[r], r).fields());
    }
    for_each_case(run, [&](std::size_t s, std::size_t c) {
      const std::string front = case_fields(run, s, c, labels).fields();
      const bool measured = is_measured(run.file.outcome(s, c));
      const CaseSummary summary = measured ? summarise(run.file, s, c) : CaseSummary{};
      const std::vector<std::int32_t> partners = partners_of(run, s, c);
      const std::string of_job = job_fields(run, s, c, summary).fields();
      const std::string back = outcome_fields(run, s, c).fields();
      for (std::size_t r = 0; r < ranks.size(); ++r) {
        const RankSummary rank = measured ? summary.ranks[r] : RankSummary{};
        CsvRow row;
        if (r < partners.size() && partners[r] >= 0) {
          row.integer(partners[r]);
        } else {
          row.nothing();
        }
        row.integer(rank.samples).number(rank.time.median).number(rank.time.low).number(rank.time.high);
        row.number(rank.late).number(rank.verify_error);
        // Text: it does not fit the whole numbers of most tools.
        row.text(rank.digest == 0 ? "" : fmt::format("{:016x}", rank.digest));
        emit(fmt::format("{},{},{},{},{},{}\r\n", front, ranks[r], row.fields(), of_job,
                         rank_figure(run, s, c, summary, rank).fields(), back));
      }
    });
  }

 private:
  static std::vector<std::int32_t> partners_of(const ExportedRun& run, std::size_t s, std::size_t c) {
    std::vector<std::int32_t> partners;
    if (!run.header().suites[s].pairs || !is_measured(run.file.outcome(s, c))) return partners;
    for_each_block(run.file, s, c, [&](const RankBlock& block) {
      partners.insert(partners.end(), block.partner.begin(), block.partner.end());
    });
    return partners;
  }

  static CsvRow job_fields(const ExportedRun& run, std::size_t s, std::size_t c, const CaseSummary& summary) {
    CsvRow row;
    row.number(summary.time.median).number(summary.time.low).number(summary.time.high);
    const CaseHeader& which = run.header().suites[s].cases[c];
    return std::move(row.text(which.figures.empty() ? "" : which.figures.front().name)
                         .text(which.figures.empty() ? "" : which.figures.front().unit));
  }

  static CsvRow rank_figure(const ExportedRun& run, std::size_t s, std::size_t c, const CaseSummary& summary,
                            const RankSummary& rank) {
    const CaseHeader& which = run.header().suites[s].cases[c];
    CsvRow row;
    if (which.figures.empty()) return std::move(row.nothing().nothing());
    const FigureHeader& figure = which.figures.front();
    // Of a collective, the figure is the job's.
    const bool own = !which.collective && rank.time.median > 0.0;
    row.number(own ? figure.value(rank.time.median) : std::nan(""));
    return std::move(row.number(figure_value(which, figure, summary)));
  }

  static CsvRow outcome_fields(const ExportedRun& run, std::size_t s, std::size_t c) {
    const CaseOutcome& outcome = run.file.outcome(s, c);
    CsvRow row;
    row.text(stop_word(outcome.stop_reason)).integer(outcome.warmup_steps).number(outcome.clock_error);
    return std::move(row.text(outcome.implementation).text(outcome.message));
  }
};

class SampleTable : public Exporter {
 public:
  using Exporter::Exporter;

  void begin() override { emit(fmt::format("{},{},{}\r\n", run_columns, rank_columns, sample_columns)); }

  void add(const ExportedRun& run) override {
    const std::string labels = labels_text(run.header());
    for_each_case(run, [&](std::size_t s, std::size_t c) {
      if (!is_measured(run.file.outcome(s, c))) return;
      const std::string front = case_fields(run, s, c, labels).fields();
      const std::vector<double> job = run.file.figure_time(s, c);
      for_each_block(run.file, s, c, [&](const RankBlock& block) {
        for (std::size_t row = 0; row < block.samples.size(); ++row) {
          const std::size_t rank = static_cast<std::size_t>(block.first_rank) + row;
          const CsvRow name = rank_fields(run.header().ranks[rank], rank);
          emit_samples(fmt::format("{},{}", front, name.fields()), block, row, job);
        }
      });
    });
  }

 private:
  void emit_samples(const std::string& front, const RankBlock& block, std::size_t row,
                    const std::vector<double>& job) const {
    std::string text;
    for (std::size_t i = 0; i < static_cast<std::size_t>(block.samples[row]); ++i) {
      const std::size_t at = row * static_cast<std::size_t>(block.columns) + i;
      const auto or_nothing = [at](const auto& column) {
        return column.empty() ? std::nan("") : static_cast<double>(column[at]);
      };
      CsvRow fields;
      if (!block.partner.empty() && block.partner[row] >= 0) {
        fields.integer(block.partner[row]);
      } else {
        fields.nothing();
      }
      const std::uint8_t flags = block.flags.empty() ? std::uint8_t{0} : block.flags[at];
      fields.integer(i).number(block.time[at]).number(or_nothing(block.host_time)).number(or_nothing(block.begin));
      fields.number(i < job.size() ? job[i] : std::nan(""));
      fields.flag((flags & schema::flag_late) != 0).flag((flags & schema::flag_barrier) != 0);
      fields.flag((flags & schema::flag_short) != 0);
      if (block.switches.empty()) {
        fields.nothing();
      } else {
        fields.integer(block.switches[at]);
      }
      fields.number(or_nothing(block.probe)).number(or_nothing(block.steal));
      text += front;
      text += ',';
      text += fields.fields();
      text += "\r\n";
    }
    emit(text);
  }
};

}  // namespace

std::unique_ptr<Exporter> make_csv_exporter(Exporter::Emit emit, bool samples) {
  if (samples) return std::make_unique<SampleTable>(std::move(emit));
  return std::make_unique<SummaryTable>(std::move(emit));
}

}  // namespace rackproof::results

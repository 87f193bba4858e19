// `rackproof selftest`: plants faults, many times each, and reports how often each was found.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "common/system/libraries.hpp"
#include "launch/commands.hpp"
#include "launch/guarded.hpp"
#include "launch/selftest_plan.hpp"
#include "launch/selftest_process.hpp"
#include "results/accept.hpp"
#include "results/table.hpp"

namespace rackproof {
namespace {

using nlohmann::ordered_json;
using selftest::Fault;
using selftest::NamedPart;
using selftest::Outcome;
using selftest::Rack;
using selftest::Seen;
using selftest::Trial;
using selftest::What;

struct SelftestState {
  std::string faults = "all";
  int trials = 3;
  int healthy = 0;
  std::string launch;
  std::string rack;
  std::string folder = "rackproof-selftest";
  std::string device = "auto";
  std::string seed = "1";
  std::string floor = "2%";
  std::string time_limit = "180s";
  bool json = false;
  bool keep = false;
};

/// What came of one trial, as it is kept.
struct Record {
  std::string fault;
  int number = 0;
  std::string place;
  double seconds = 0.0;
  int exit_code = 0;
  Outcome outcome;
  int broken = 0;  ///< attempts before it that broke down before they measured
};

ordered_json to_json(const Record& record) {
  return {{"fault", record.fault},         {"number", record.number},           {"place", record.place},
          {"seconds", record.seconds},     {"exit_code", record.exit_code},     {"found", record.outcome.found},
          {"named", record.outcome.named}, {"accused", record.outcome.accused}, {"saw", record.outcome.saw},
          {"broken", record.broken}};
}

Record record_of(const nlohmann::json& json) {
  Record record;
  record.fault = json.at("fault").get<std::string>();
  record.number = json.at("number").get<int>();
  record.place = json.at("place").get<std::string>();
  record.seconds = json.at("seconds").get<double>();
  record.exit_code = json.at("exit_code").get<int>();
  record.outcome = {json.at("found").get<bool>(), json.at("named").get<bool>(), json.at("accused").get<bool>(),
                    json.at("saw").get<std::string>()};
  record.broken = json.at("broken").get<int>();
  return record;
}

/// A line of what is tried, then one a trial, so that what was done stays done whatever happens next.
class Records {
 public:
  explicit Records(std::filesystem::path path) : path_(std::move(path)) {
    std::ifstream file(path_);
    std::size_t number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      try {
        const nlohmann::json json = nlohmann::json::parse(line);
        if (number == 1) {
          subject_ = json.at(subject_key);
        } else {
          all_.push_back(record_of(json));
        }
      } catch (const nlohmann::json::exception&) {
        throw usage_error(fmt::format("{}: line {} is no trial of an earlier selftest; give another --folder",
                                      printable(path_.string()), number));
      }
    }
  }
  /// What is tried now; `subject`: an object. Throws Error (usage) where the trials that are here were of something
  /// else: their rates would be nobody's.
  void set_subject(const nlohmann::json& subject) {
    if (subject_.is_null()) {
      append({{subject_key, subject}});
      subject_ = subject;
      return;
    }
    for (const auto& [key, value] : subject.items()) {
      if (subject_.contains(key) && subject_[key] == value) continue;
      throw usage_error(fmt::format(
          "{}: its trials are of another {}: {}, and now {}; give another --folder", printable(path_.string()), key,
          subject_.contains(key) ? printable(subject_[key].dump(), 100) : "unknown", printable(value.dump(), 100)));
    }
  }
  [[nodiscard]] const std::vector<Record>& all() const { return all_; }
  [[nodiscard]] bool has(const std::string& fault, int number) const {
    return std::any_of(all_.begin(), all_.end(),
                       [&](const Record& one) { return one.fault == fault && one.number == number; });
  }
  void add(Record record) {
    append(to_json(record));
    all_.push_back(std::move(record));
  }

 private:
  static constexpr const char* subject_key = "selftest";

  void append(const ordered_json& json) const {
    std::ofstream file(path_, std::ios::app);
    file << json.dump() << '\n' << std::flush;
    if (!file) throw infrastructure_error(fmt::format("cannot write {}", printable(path_.string())));
  }

  nlohmann::json subject_;
  std::filesystem::path path_;
  std::vector<Record> all_;
};

std::string text_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// ---- files ----

NamedPart::Kind kind_of(results::Part::Kind kind) {
  switch (kind) {
    case results::Part::Kind::rack:
      return NamedPart::Kind::rack;
    case results::Part::Kind::node:
      return NamedPart::Kind::node;
    case results::Part::Kind::device:
      return NamedPart::Kind::device;
    case results::Part::Kind::link:
      break;
  }
  return NamedPart::Kind::link;
}

/// The finished file, or what a run that broke off has left of it.
std::filesystem::path file_of(const std::filesystem::path& out) {
  const std::filesystem::path part = out.string() + ".part";
  return std::filesystem::exists(out) ? out : part;
}

/// What the file's ranks are, and what `accept` says of it. Null where there is no file, or none that can be read.
ordered_json read_file(const std::filesystem::path& out, double floor) {
  const std::filesystem::path path = file_of(out);
  if (!std::filesystem::exists(path)) return nullptr;
  GuardedRead read;
  read.files = {path};
  std::string text;
  const auto work = [&](const Emit& emit) {
    std::vector<results::ResultFile> files;
    files.emplace_back(path);
    results::AcceptOptions options;
    options.floor = floor;
    options.allow_fake = true;
    const results::Acceptance acceptance = results::accept(files, {}, nullptr, options);
    ordered_json json;
    json["fake"] = files.front().header().device_fake;
    for (const results::RankHeader& rank : files.front().header().ranks) {
      json["ranks"].push_back({rank.hostname, rank.device_id, rank.node_index});
    }
    json["parts"] = ordered_json::array();
    for (const results::Part* part : acceptance.at_fault()) {
      json["parts"].push_back({static_cast<int>(kind_of(part->kind)), part->name, false});
    }
    for (const results::Part* part : acceptance.open()) {
      json["parts"].push_back({static_cast<int>(kind_of(part->kind)), part->name, true});
    }
    emit(json.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
    return ExitCode::pass;
  };
  try {
    run_guarded(read, work, [&](std::string_view piece) { text += piece; });
  } catch (const Error&) {
    return nullptr;
  }
  return ordered_json::parse(text);
}

// ---- another library ----

/// Copies a library that this program has loaded into `folder`, with another build id: what a node has where somebody
/// installed a different build. Its code is the same.
void make_other_library(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  for (const LoadedLibrary& library : loaded_libraries()) {
    const std::filesystem::path asked = library.requested.empty() ? library.path : library.requested;
    // Small, used by every build, and none of the C library's.
    if (!asked.filename().string().starts_with("libz.so") || library.build_id.empty()) continue;
    std::string bytes = text_of_file(library.path);
    std::string id;
    for (std::size_t i = 0; i + 1 < library.build_id.size(); i += 2) {
      id += static_cast<char>(std::stoi(library.build_id.substr(i, 2), nullptr, 16));
    }
    const std::size_t at = bytes.find(id);
    if (id.empty() || at == std::string::npos) continue;
    bytes[at] = static_cast<char>(~bytes[at]);
    std::ofstream copy(folder / asked.filename(), std::ios::binary);
    copy << bytes << std::flush;
    if (!copy) throw infrastructure_error(fmt::format("cannot write into {}", printable(folder.string())));
    return;
  }
  throw infrastructure_error("this program has no libz that a changed copy could be made of");
}

// ---- trials ----

class Selftest {
 public:
  explicit Selftest(const SelftestState& state)
      : state_(state),
        folder_(std::filesystem::absolute(state.folder)),
        seed_(static_cast<std::uint64_t>(parse_integer(state.seed, "--seed", 0, most_seed))),
        floor_(parse_percent(state.floor, "--floor", 0.5)),
        time_limit_(parse_duration(state.time_limit, "--time-limit")),
        faults_(selftest::choose_faults(state.faults)),
        launch_(selftest::split_words(launch_text())) {
    if (launch_.empty()) throw usage_error("--launch: is empty; write such as --launch 'mpirun -n 8'");
    std::error_code failure;
    std::filesystem::create_directories(folder_, failure);
    if (failure) throw usage_error(fmt::format("--folder: {}: {}", quoted_text(folder_.string()), failure.message()));
  }

  ExitCode run() {
    const selftest::HeldSignals held;
    Records records(folder_ / "trials.jsonl");
    see_rack();
    records.set_subject(subject());
    plan_library();
    for (int round = 0; round < state_.trials; ++round) {
      for (const Fault& fault : faults_) {
        if (!selftest::why_not(fault, rack_).empty()) continue;
        for (int number = first_of(fault, round); number < first_of(fault, round + 1); ++number) {
          if (!records.has(fault.key, number)) records.add(run_trial(fault, number));
        }
      }
    }
    return report(records.all());
  }

 private:
  static constexpr std::int64_t most_seed = std::int64_t{1} << 53;

  [[nodiscard]] std::string launch_text() const {
    if (!state_.launch.empty()) return state_.launch;
    return state_.rack.empty() ? "mpirun -n 4" : "srun --mpi=pmix -N4 --ntasks-per-node=2 --kill-on-bad-exit=1";
  }

  /// What decides whether trials belong together.
  [[nodiscard]] nlohmann::json subject() const {
    nlohmann::json ranks = nlohmann::json::array();
    for (const auto& rank : rack_.ranks) ranks.push_back(fmt::format("{} {}", rank.host, rank.device_id));
    return {{"build", build_id_of_self()},
            {"launch", launch_text()},
            {"device", state_.device},
            {"ranks", ranks},
            {"seed", seed_},
            {"floor", floor_}};
  }

  /// Healthy runs may be more than those with faults; they are spread over the rounds.
  [[nodiscard]] int first_of(const Fault& fault, int round) const {
    if (fault.what != What::healthy || state_.healthy == 0) return round;
    return static_cast<int>(std::int64_t{state_.healthy} * round / state_.trials);
  }

  [[nodiscard]] selftest::Program program_of(const std::vector<std::string>& arguments,
                                             const std::filesystem::path& name) const {
    selftest::Program program;
    if (!state_.rack.empty()) program.words = {state_.rack, "enter", "head"};
    program.words.insert(program.words.end(), launch_.begin(), launch_.end());
    program.words.insert(program.words.end(), {path_of_self(), "run"});
    program.words.insert(program.words.end(), arguments.begin(), arguments.end());
    program.words.insert(program.words.end(), {"--progress", "never", "--out", (folder_ / name).string() + ".h5"});
    // The program's own, which comes after ours, counts.
    if (std::find(arguments.begin(), arguments.end(), "--device") == arguments.end()) {
      program.words.insert(program.words.end(), {"--device", state_.device});
    }
    program.log = (folder_ / name).string() + ".log";
    program.time_limit = time_limit_;
    return program;
  }

  void remove(const std::filesystem::path& name) const {
    std::error_code ignored;
    for (const char* suffix : {".h5", ".h5.part", ".log"}) {
      std::filesystem::remove((folder_ / name).string() + suffix, ignored);
    }
  }

  /// A first run, of some ms, tells who is there.
  void see_rack() {
    const std::filesystem::path name = "rack";
    remove(name);
    selftest::Program program = program_of({"--suite", "allreduce", "--benchmark_filter=^allreduce/f32/8B/out-of-place",
                                            "--max-samples", "3", "--time-budget", "1s"},
                                           name);
    selftest::Ended ended = selftest::run_program(program);
    // Once more, before it is given up: see broke_down().
    if (ended.exit_code > 128) ended = selftest::run_program(program);
    const ordered_json file = read_file(folder_ / "rack.h5", floor_);
    if (ended.exit_code != 0 || file.is_null()) {
      throw Error(ExitCode::infrastructure, "infrastructure", 0, "",
                  fmt::format("without any fault a run ended with exit code {}; it said: {}", ended.exit_code,
                              last_line(text_of_file(program.log))));
    }
    for (const auto& rank : file["ranks"]) {
      rack_.ranks.push_back({rank[0].get<std::string>(), rank[1].get<std::string>(), rank[2].get<int>()});
    }
    rack_.fake = file["fake"].get<bool>();
    rack_.from_outside = !state_.rack.empty();
    remove(name);
  }

  static std::string last_line(const std::string& text) {
    std::istringstream lines(text);
    std::string last = "nothing";
    for (std::string line; std::getline(lines, line);) {
      if (line.find_first_not_of(" -\t") != std::string::npos) last = line;
    }
    return quoted_text(last);
  }
  static std::string quoted_text(const std::string& text) { return fmt::format("'{}'", printable(text, 300)); }

  void plan_library() {
    const bool wanted = std::any_of(faults_.begin(), faults_.end(), [&](const Fault& fault) {
      return fault.what == What::other_library && selftest::why_not(fault, rack_).empty();
    });
    if (wanted) make_other_library(folder_ / "other-library");
  }

  /// A command of launch/virtual-rack.
  void tell_rack(const std::vector<std::string>& words, const std::filesystem::path& log) const {
    selftest::Program program;
    program.words = {state_.rack};
    program.words.insert(program.words.end(), words.begin(), words.end());
    program.log = log;
    program.time_limit = time_limit_;
    const selftest::Ended ended = selftest::run_program(program);
    if (ended.exit_code == 0) return;
    throw infrastructure_error(fmt::format("'{} {}' ended with exit code {}: {}", printable(state_.rack), words.front(),
                                           ended.exit_code, last_line(text_of_file(log))));
  }

  /// A rack is healed behind a trial, also where that breaks off.
  class Healing {
   public:
    explicit Healing(const Selftest* of) : of_(of) {}
    Healing(const Healing&) = delete;
    Healing& operator=(const Healing&) = delete;
    ~Healing() {
      try {
        heal();
      } catch (const std::exception& error) {
        fmt::print(stderr, "rackproof: the rack is not healed: {}\n", error.what());
      }
    }
    void heal() {
      if (const Selftest* const of = std::exchange(of_, nullptr)) of->tell_rack({"heal"}, of->folder_ / "heal.log");
    }

   private:
    const Selftest* of_;
  };

  /// A launcher or library that crashes before anything was measured tells nothing of what was planted.
  static bool broke_down(const Seen& seen) {
    constexpr int by_signal = 128;
    const int signal = seen.exit_code - by_signal;
    const bool crashed = signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS || signal == SIGFPE;
    return crashed && !seen.parts;
  }

  Record run_trial(const Fault& fault, int number) {
    constexpr int most_attempts = 3;
    for (int attempt = 1;; ++attempt) {
      std::optional<Record> record = try_trial(fault, number, attempt == most_attempts);
      if (record) return *record;
      ++broken_;
    }
  }

  /// Nothing where it broke down, unless that is to count.
  std::optional<Record> try_trial(const Fault& fault, int number, bool is_last) {
    const Trial trial = selftest::plan_trial(fault, rack_, number, seed_, (folder_ / "other-library").string());
    const std::filesystem::path name = fmt::format("{}-{}", fault.key, number);
    remove(name);
    selftest::Program program = program_of(trial.arguments, name);
    program.environment = trial.environment;
    Healing healing(!trial.outside.empty() || !trial.midway.empty() ? this : nullptr);
    if (!trial.outside.empty()) tell_rack(trial.outside, program.log);
    bool told = trial.midway.empty();
    const selftest::Ended ended = selftest::run_program(program, [&] {
      if (told || !is_measuring(name)) return;
      told = true;
      tell_rack(trial.midway, program.log);
    });
    healing.heal();
    Seen seen;
    seen.exit_code = ended.exit_code;
    seen.timed_out = ended.timed_out;
    seen.log = text_of_file(program.log);
    if (const ordered_json file = read_file(folder_ / (name.string() + ".h5"), floor_); !file.is_null()) {
      seen.parts.emplace();
      for (const auto& part : file["parts"]) {
        seen.parts->push_back(
            {static_cast<NamedPart::Kind>(part[0].get<int>()), part[1].get<std::string>(), part[2].get<bool>()});
      }
    }
    if (ended.exit_code == static_cast<int>(ExitCode::usage) && !seen.parts) {
      throw usage_error(fmt::format("the run of {} {} was refused: {}; see {}", fault.key, number, last_line(seen.log),
                                    printable(program.log.string())));
    }
    if (broke_down(seen) && !is_last) {
      fmt::print(stderr, "{:24} {:3}  {:20} broke down before it measured, exit code {}: again\n", fault.key, number,
                 printable(trial.place), seen.exit_code);
      const std::filesystem::path log = program.log;
      std::filesystem::rename(log, fmt::format("{}.broken{}", log.string(), broken_));
      return std::nullopt;
    }
    Record record{fault.key,
                  number,
                  trial.place,
                  ended.seconds,
                  ended.exit_code,
                  judge(trial, rack_, seen),
                  broken_ - broken_before_};
    broken_before_ = broken_;
    if (record.outcome.named && !state_.keep) remove(name);
    fmt::print(stderr, "{:24} {:3}  {:20} {:9}  {:5.1f} s  {}\n", fault.key, number, printable(trial.place),
               record.outcome.named     ? "right"
               : record.outcome.accused ? "ACCUSED"
                                        : "MISSED",
               ended.seconds, printable(record.outcome.saw, 200));
    return record;
  }

  /// The file is there and has grown beyond its structure: a case has ended.
  [[nodiscard]] bool is_measuring(const std::filesystem::path& name) {
    std::error_code failure;
    const auto size = std::filesystem::file_size((folder_ / name).string() + ".h5.part", failure);
    if (failure || size == 0) return false;
    // The first case is being measured some seconds long.
    const auto now = std::chrono::steady_clock::now();
    if (measuring_ != name) {
      measuring_ = name;
      measuring_since_ = now;
    }
    return now - measuring_since_ > std::chrono::seconds(2);
  }

  // ---- the report ----

  struct Row {
    const Fault* fault = nullptr;
    int trials = 0;
    int found = 0;
    int named = 0;
    int accused = 0;
    int broken = 0;
    std::vector<double> seconds;
    std::string why_not;
    [[nodiscard]] bool is_good() const {
      return static_cast<double>(named) >= fault->wanted * static_cast<double>(trials);
    }
  };

  [[nodiscard]] std::vector<Row> rows_of(const std::vector<Record>& records) const {
    std::vector<Row> rows;
    for (const Fault& fault : faults_) {
      Row row;
      row.fault = &fault;
      row.why_not = selftest::why_not(fault, rack_);
      for (const Record& one : records) {
        if (one.fault != fault.key) continue;
        ++row.trials;
        row.found += one.outcome.found ? 1 : 0;
        row.named += one.outcome.named ? 1 : 0;
        row.accused += one.outcome.accused ? 1 : 0;
        row.broken += one.broken;
        row.seconds.push_back(one.seconds);
      }
      rows.push_back(std::move(row));
    }
    return rows;
  }

  [[nodiscard]] std::string rack_words() const {
    return fmt::format("{} nodes, {} ranks{}; launched by: {}", rack_.nodes(), rack_.ranks.size(),
                       rack_.fake ? ", test doubles of GPUs" : "", launch_text());
  }

  ExitCode report(const std::vector<Record>& records) const {
    const std::vector<Row> rows = rows_of(records);
    bool good = true;
    int tried = 0;
    for (const Row& row : rows) {
      tried += row.trials;
      good = good && (row.trials == 0 || row.is_good());
    }
    fmt::print("{}", state_.json ? json_of(rows) : table_of(rows));
    if (tried == 0) throw usage_error("none of the faults can be planted here: the table says why");
    return good ? ExitCode::pass : ExitCode::fail;
  }

  [[nodiscard]] std::string json_of(const std::vector<Row>& rows) const {
    ordered_json json;
    json["rack"] = {{"nodes", rack_.nodes()}, {"ranks", rack_.ranks.size()}, {"device_fake", rack_.fake}};
    json["launch"] = launch_text();
    json["floor"] = floor_;
    for (const Row& row : rows) {
      ordered_json one{{"fault", row.fault->key}, {"trials", row.trials}};
      if (row.trials == 0) {
        one["why_not"] = row.why_not;
      } else {
        one.update({{"found", row.found},
                    {"named", row.named},
                    {"accused", row.accused},
                    {"named_at_least", selftest::least_share(row.named, row.trials)},
                    {"accused_at_most", selftest::most_share(row.accused, row.trials)},
                    {"broken", row.broken},
                    {"median_seconds", stats::median(row.seconds)},
                    {"wanted", row.fault->wanted}});
      }
      json["faults"].push_back(std::move(one));
    }
    return json.dump(2) + "\n";
  }

  [[nodiscard]] std::string table_of(const std::vector<Row>& rows) const {
    using Align = results::Table::Align;
    results::Table table({{"planted", "", Align::left},
                          {"trials", ""},
                          {"found", ""},
                          {"named", "rightly"},
                          {"at least", "(95 %)"},
                          {"accused", "wrongly"},
                          {"at most", "(95 %)"},
                          {"a trial", "s"}});
    const auto share = [](double value) { return fmt::format("{:.0f} %", 100.0 * value); };
    std::string not_planted;
    for (const Row& row : rows) {
      if (row.trials == 0) {
        if (!row.why_not.empty()) not_planted += fmt::format("not planted: {}: {}\n", row.fault->title, row.why_not);
        continue;
      }
      const bool healthy = row.fault->what == What::healthy;
      table.add_row({row.fault->title, fmt::format("{}", row.trials), healthy ? "-" : fmt::format("{}", row.found),
                     healthy ? "-" : fmt::format("{}{}", row.named, row.is_good() ? "" : " !"),
                     healthy ? "-" : share(selftest::least_share(row.named, row.trials)),
                     fmt::format("{}{}", row.accused, healthy && !row.is_good() ? " !" : ""),
                     share(selftest::most_share(row.accused, row.trials)),
                     fmt::format("{:.1f}", stats::median(row.seconds))});
    }
    const bool any_bad =
        std::any_of(rows.begin(), rows.end(), [](const Row& row) { return row.trials > 0 && !row.is_good(); });
    int broken = 0;
    for (const Row& row : rows) broken += row.broken;
    if (broken > 0) {
      not_planted += fmt::format("{} run{} crashed before anything was measured and {} repeated\n", broken,
                                 broken == 1 ? "" : "s", broken == 1 ? "was" : "were");
    }
    return rack_words() + "\n\n" + table.render() + (any_bad ? "\n! fewer than wanted\n" : "") + not_planted;
  }

  const SelftestState& state_;
  std::filesystem::path folder_;
  std::uint64_t seed_;
  double floor_;
  double time_limit_;
  std::vector<Fault> faults_;
  std::vector<std::string> launch_;
  Rack rack_;
  int broken_ = 0;
  int broken_before_ = 0;  ///< ... when the trial began
  std::filesystem::path measuring_;
  std::chrono::steady_clock::time_point measuring_since_;
};

}  // namespace

void add_selftest_command(CLI::App& app, CommandLine& command_line) {
  auto* command = app.add_subcommand(
      "selftest", "Plant faults, many times each, and report how often each is found and who is accused wrongly");
  auto state = std::make_shared<SelftestState>();
  std::string keys;
  for (const Fault& fault : selftest::all_faults()) keys += (keys.empty() ? "" : ", ") + fault.key;
  command->add_option("--faults", state->faults, "Of " + keys + "; slow-link stands for all three")
      ->capture_default_str();
  command->add_option("--trials", state->trials, "Runs with each fault")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  command->add_option("--healthy", state->healthy, "Runs without any (default: as many as --trials)")
      ->check(CLI::Range(0, 100000));
  command->add_option("--launch", state->launch, "How ranks are started (default: 'mpirun -n 4')");
  command->add_option("--rack", state->rack,
                      "launch/virtual-rack, which is up: links are slowed and nodes killed from outside, and ranks "
                      "started on it (default --launch: 'srun --mpi=pmix -N4 --ntasks-per-node=2 "
                      "--kill-on-bad-exit=1')");
  command
      ->add_option("--folder", state->folder,
                   "Keeps a line a trial, and files and logs of trials that went wrong; given again, the selftest "
                   "goes on where it was. All nodes must see it")
      ->capture_default_str();
  command->add_option("--device", state->device, "As of 'rackproof run'")->capture_default_str();
  command->add_option("--seed", state->seed, "Of the places that are drawn")->capture_default_str();
  command->add_option("--floor", state->floor, "As of 'rackproof accept': what is less slow is no fault")
      ->capture_default_str();
  command->add_option("--time-limit", state->time_limit, "Of one trial: then it is killed")->capture_default_str();
  command->add_flag("--keep", state->keep, "Keep the files and logs of all trials");
  command->add_flag("--json", state->json, "JSON in place of the table");
  command->footer(
      "Each trial is a run of its own, of seconds, with one fault at a place that is drawn. It counts as named rightly "
      "where the part at fault is named, nobody else is, and the exit code is right. On a real rack faults are planted "
      "by the run itself ('rackproof run --plant'): nothing of the machine is changed, but ranks stop, die and work "
      "more slowly.\n"
      "Exit codes: 0 each fault was named as often as wanted (speed: 95 %, all others: 100 %) and at most 1 % of the "
      "healthy runs accused somebody; 3 not so; 2, 75 it could not be tried.\n"
      "Examples:\n"
      "  rackproof selftest --launch 'mpirun -n 8'\n"
      "  rackproof selftest --launch 'srun --mpi=pmix' --trials 20 --healthy 100 --folder /shared/selftest\n"
      "  rackproof selftest --rack launch/virtual-rack --faults slow-link,dead-node --trials 20");
  command->callback([state, &command_line] { command_line.action = [state] { return Selftest(*state).run(); }; });
}

}  // namespace rackproof

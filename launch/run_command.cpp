// `rackproof run`: plan, measure, write, show.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>

#include "common/backends/backend.hpp"
#include "common/core/clock.hpp"
#include "common/core/consequence.hpp"
#include "common/core/file_system.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/gather_rows.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/mpi/topology.hpp"
#include "common/system/identity.hpp"
#include "common/system/libraries.hpp"
#include "common/watch/watchdog.hpp"
#include "launch/commands.hpp"
#include "launch/process_rank.hpp"
#include "launch/run_benchmarks.hpp"
#include "launch/run_header.hpp"
#include "launch/run_limits.hpp"
#include "launch/run_options.hpp"
#include "launch/run_plant.hpp"
#include "launch/run_progress.hpp"
#include "launch/run_resume.hpp"
#include "launch/run_stop.hpp"
#include "launch/run_telemetry.hpp"
#include "launch/run_world.hpp"
#include "results/schema.hpp"
#include "results/show.hpp"
#include "results/writer.hpp"
#include "suites/suite.hpp"

namespace rackproof {
namespace {

struct RunState {
  std::vector<std::unique_ptr<Suite>> suites = make_all_suites();
  RunArguments arguments;
};

/// The smallest peaks of all ranks: what every device can do. A type that one of them knows no peak of is left out.
Peaks agree_on_peaks(const mpi::Communicator& world, Peaks peaks) {
  constexpr auto last = static_cast<std::size_t>(DataType::u8);
  std::vector<double> values(last + 1, 0.0);
  for (const auto& [type, flops] : peaks.flops) values[static_cast<std::size_t>(type)] = flops;
  values.push_back(peaks.memory_bandwidth);
  world.all_reduce_min(values);
  for (std::size_t type = 0; type <= last; ++type) {
    if (values[type] > 0.0) {
      peaks.flops[static_cast<DataType>(type)] = values[type];
    } else {
      peaks.flops.erase(static_cast<DataType>(type));
    }
  }
  peaks.memory_bandwidth = values.back();
  return peaks;
}

/// The same error, with the place filled in where it is unknown, and with a remark at its end.
Error completed(const Error& error, const mpi::Communicator& world, const std::string& remark = {}) {
  Place place = error.place();
  if (place.host.empty()) place.host = host_name();
  if (place.rank < 0) place.rank = world.rank();
  return {error.exit_code(), error.domain(), error.code(), error.call(), error.what() + remark, place};
}

/// Ends all ranks for an error that concerns this one alone, for which the others would wait. `watchdog`: null where
/// there is none yet.
ExitCode end_world(const mpi::Communicator& world, watch::Watchdog* watchdog, const std::string& line, ExitCode code) {
  fmt::print(stderr, "rackproof: {}\n", line);
  std::fflush(stderr);
  if (watchdog != nullptr) watchdog->expect_end(code);
  MPI_Abort(world.handle(), static_cast<int>(code));
  return code;
}

/// Ends all ranks for the exception that is being handled.
ExitCode end_world_for_exception(const mpi::Communicator& world, watch::Watchdog* watchdog, const std::string& remark) {
  try {
    throw;
  } catch (const Consequence& error) {
    const std::string line = completed(error, world, remark).line();
    if (watchdog == nullptr) return end_world(world, watchdog, line, error.exit_code());
    watchdog->tell_of_others(line);
    watchdog->expect_end(error.exit_code());
    MPI_Abort(world.handle(), static_cast<int>(error.exit_code()));
    return error.exit_code();
  } catch (const Error& error) {
    return end_world(world, watchdog, completed(error, world, remark).line(), error.exit_code());
  } catch (const std::exception& error) {
    return end_world(
        world, watchdog,
        fmt::format("rank {}: {} (a defect; please report it)", world.rank(), printable(error.what(), 400)),
        ExitCode::internal);
  }
}

std::string where_finished_cases_are(const std::string& part) {
  return fmt::format("; what had finished is in {} ('rackproof recover' makes a result file of it)", part);
}

/// Of a run that breaks off on all ranks alike. The error that ends it is the one to tell.
void write_last_telemetry(const RunParts& parts) {
  try {
    parts.telemetry.stop();
    parts.telemetry.write(parts.world, parts.gatherer, parts.clock, parts.writer);
  } catch (const mpi::AgreedError&) {  // NOLINT(bugprone-empty-catch): such as the disk that was full before
  }
}

/// Runs the cases. An error of one rank alone ends the job before anything is destroyed here: freeing a communicator or
/// the memory of a device may wait for ranks that never come, or for a device that is lost.
RunOutcome run_cases(const RunParts& parts, const RunOptions& options, const BenchmarkFlags& flags,
                     const std::vector<SelectedSuite>& planned, const RunBounds& bounds, Progress& progress) {
  std::string part = parts.writer != nullptr ? printable(parts.writer->part_path().string(), 500) : std::string();
  parts.world.broadcast(part);
  parts.watchdog.set_remark("exit code 75" + where_finished_cases_are(part));
  try {
    return run_benchmarks(parts, options, flags, planned, bounds, progress);
  } catch (const mpi::AgreedError& error) {
    progress.clear();
    write_last_telemetry(parts);
    const bool kept = parts.writer != nullptr && parts.writer->finished_cases() > 0;
    const bool has_said_so = error.domain() == "infrastructure";  // the writer's own
    if (error.exit_code() == ExitCode::usage || !kept || has_said_so) throw;
    throw mpi::AgreedError(completed(error, parts.world, where_finished_cases_are(part)));
  } catch (...) {
    progress.clear();
    if (parts.writer != nullptr) parts.writer->abandon();
    return {end_world_for_exception(parts.world, &parts.watchdog, where_finished_cases_are(part)), "", 0};
  }
}

/// Google Benchmark truncates the file, and ends the process where it cannot.
void check_benchmark_out(const std::string& path) {
  if (path.empty()) return;
  if (path.ends_with(".h5") || path.ends_with(".h5.part")) {
    throw usage_error(
        fmt::format("--benchmark_out: '{}' is a name for result files; give its report another, such as report.json",
                    printable(path)));
  }
  std::error_code ignored;
  const bool existed = std::filesystem::exists(path, ignored);
  if (!std::ofstream(path, std::ios::app)) {
    throw usage_error(fmt::format("--benchmark_out: cannot write '{}': {}", printable(path), std::strerror(errno)));
  }
  if (!existed) std::filesystem::remove(path, ignored);
}

/// Every variable of this process, "NAME=value".
std::vector<std::string> environment_variables() {
  std::vector<std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) variables.emplace_back(*entry);
  return variables;
}

/// The arguments of every rank must be those of rank 0: another seed or suite would look like a fault of the machine.
std::string joined(const std::vector<std::string>& arguments) {
  std::string text;
  for (std::size_t i = 1; i < arguments.size(); ++i) text += (i > 1 ? " " : "") + arguments[i];
  return text;
}

std::string default_file_name() { return fmt::format("rackproof-{}-{}.h5", host_name(), compact_utc_timestamp()); }

std::string closing_words(const std::string& file, const std::string& limits) {
  std::string text = fmt::format(
      "Wrote {0}\n"
      "  rackproof show {0}                    the tables again\n"
      "  rackproof show {0} --ranks            one row a rank; --case REGEX selects\n",
      file);
  text += fmt::format(
      "  rackproof report {0} -o {1}   one page for people, with charts\n"
      "  rackproof compare {0} ... --to NEW.h5 ...   what differs; several launches a side\n",
      file, std::filesystem::path(file).replace_extension(".html").string());
  if (!limits.empty()) text += fmt::format("  rackproof accept {} --limits {}   the verdict\n", file, limits);
  return text;
}

void list_names(const std::vector<SelectedSuite>& selected) {
  for (const SelectedSuite& suite : selected) {
    for (const Case& one : suite.cases) fmt::print("{}\n", one.name);
  }
}

/// The same on every rank, another one in each launch.
std::uint64_t draw_order_seed(const mpi::Communicator& world) {
  std::int64_t seed = 0;
  if (world.is_root()) seed = static_cast<std::int64_t>(std::random_device{}());
  world.broadcast({&seed, 1});
  return static_cast<std::uint64_t>(seed);
}

/// What the user is told of a run that ended before its last case.
std::string early_end_words(const RunOutcome& outcome, const std::string& file) {
  return fmt::format("{}: {} case{} not run; the same command with --resume {} measures {}", outcome.ended_early,
                     outcome.not_run, outcome.not_run == 1 ? " has" : "s have", printable(file, 500),
                     outcome.not_run == 1 ? "it" : "them");
}

/// When rank 0 is to have ended, in s of the steady clock.
double end_of_this_run(double began, double wall_time) {
  const double unix_now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return end_of_run(began, SteadyClock().now(), wall_time, std::getenv("SLURM_JOB_END_TIME"), unix_now);
}

/// Everything after MPI is up. Starts the watchdog, which is to outlive MPI.
ExitCode run_in_world(const RunState& state, const CommandLine& command_line, double began, mpi::Communicator& world,
                      std::optional<watch::Watchdog>& started_watchdog) {
  RunOptions options;
  mpi::agree(world, [&] {
    options = check_run_arguments(state.arguments, state.suites);
    refuse_benchmark_environment(environment_variables());
    check_slurm_task_count(std::getenv("SLURM_NTASKS"), world.size());
  });
  const BenchmarkFlags& flags = command_line.benchmark_flags;
  const mpi::Topology topology = mpi::discover_topology(world);
  check_same_binary(world, topology, "rackproof " RACKPROOF_VERSION " " + build_id_of_self());
  check_same_arguments(world, topology, joined(command_line.arguments));
  // A GPU's backends end what hangs there by themselves at the time-out, and may take some seconds to tell.
  constexpr double device_telling_time = 15.0;
  mpi::agree(world, [&] { started_watchdog.emplace(world, topology, options.hang_timeout + device_telling_time); });
  watch::Watchdog& watchdog = *started_watchdog;
  watchdog.set_remark("exit code 75; no case had begun");
  world.report_to(&watchdog.progress());
  watchdog.progress().enter(Phase::starting, true);

  const mpi::RankPlace& place = topology.ranks[static_cast<std::size_t>(world.rank())];
  const int ranks_on_node = topology.ranks_on_node(place.node_index);
  const SteadyClock real_clock(ranks_on_node > static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
  std::optional<Planting> planting;
  mpi::agree(world, [&] { planting.emplace(options.plants, topology, world.rank(), real_clock); });
  const Clock& clock = planting->clock();
  Progress progress(options.progress, world.is_root(), clock, options.time_budget);
  RunTimes times(real_clock, began);

  progress.note("opening devices and measuring their peak rates ...");
  const auto backends = make_all_backends();
  std::unique_ptr<Device> device;
  const Backend* device_backend = nullptr;
  std::vector<const Backend*> collective_backends;
  mpi::agree(world, [&] { device_backend = &choose_device_backend(backends, options.device); });
  check_same_device_kind(world, topology, device_backend->name());
  mpi::agree(world, [&] {
    const std::vector<std::string>& wanted = options.suite_options.collective_backends;
    collective_backends = choose_collective_backends(backends, device_backend->name(), wanted);
    if (wanted.empty()) collective_backends.resize(1);
  });
  mpi::agree(world, [&] {
    device = device_backend->open_device({place.local_rank, ranks_on_node, options.threads, options.hang_timeout});
  });
  if (device->is_host()) watchdog.set_timeout(options.hang_timeout);
  const std::map<std::string, std::string> facts = device->facts();
  const auto found_uuid = facts.find("uuid");
  const std::string uuid = found_uuid == facts.end() ? "" : found_uuid->second;
  const std::string serial = device->serial();
  watchdog.set_device(device->id() + (uuid.empty() ? "" : ", " + uuid) +
                      (serial.empty() || serial == uuid ? "" : ", serial " + serial));
  check_distinct_devices(world, topology, uuid);
  Collectives collectives(
      collective_backends, world, *device, {.hang_timeout = options.hang_timeout},
      [&](std::unique_ptr<Collective> opened) { return planting->collective(std::move(opened), *device); });
  for (const std::string& name : collectives.names()) {
    mpi::agree(world, [&] { (void)collectives.get(name); });
  }
  Collective& collective = collectives.get(collectives.names().front());

  Platform platform{topology, {}, 0, true, device_backend->name(), collectives.names()};
  if (!flags.list_tests) {
    world.barrier();
    times.spent_on("start-up");
    watchdog.progress().enter(Phase::measuring_peaks, true);
    mpi::agree(world, [&] { platform.peaks = device->measure_peaks(); });
    platform.peaks = agree_on_peaks(world, std::move(platform.peaks));
    times.spent_on("peak rates");
  }
  double memory = static_cast<double>(device->memory_available());
  world.all_reduce_min({&memory, 1});
  platform.memory_available = static_cast<std::size_t>(memory);

  std::vector<SelectedSuite> selected;
  mpi::agree(world, [&] { selected = select_cases(options, flags.filter, platform); });
  if (flags.list_tests) {
    progress.clear();
    if (world.is_root()) list_names(selected);
    return ExitCode::pass;
  }

  watchdog.progress().enter(Phase::opening_file, true);
  std::optional<Resumption> resumption;
  if (!options.resume.empty()) {
    resumption.emplace(world, options);
    if (const std::optional<ExitCode> result = resumption->result_of_complete()) return *result;
  }
  const bool resumes = resumption && resumption->goes_on();
  if (options.shuffled && !options.order_seed) options.order_seed = draw_order_seed(world);
  const std::vector<SelectedSuite> planned = repeat_cases(std::move(selected), flags.repetitions);
  RunTelemetry telemetry(world, *device, place.local_rank == 0, clock);
  results::RunHeader header;
  std::vector<std::string> notices;
  mpi::agree(world, [&] {
    header = make_run_header(world, platform, *device, collectives, options, planned, command_line.arguments, notices);
    if (!planting->is_empty()) header.provenance[results::schema::planted] = planting->record();
  });
  const RunLimits limits = make_run_limits(world, options.limits, header);
  header.telemetry = telemetry.columns();
  header.telemetry_ticks = RunTelemetry::ticks();
  std::optional<results::Writer> writer;
  mpi::agree(world, [&] {
    if (!world.is_root()) return;
    check_benchmark_out(flags.out);
    const std::string out = options.out.empty() ? default_file_name() : options.out;
    const FileSystem file_system = file_system_of(out);
    header.provenance["file_system"] = file_system.name;
    if (const std::string late = late_writes(file_system); !late.empty()) {
      notices.push_back(fmt::format("'{}': {}", printable(out), late));
    }
    if (resumes) header = resumption->header(header);
    writer.emplace(out, header, resumes ? Resumption::writer_options() : results::WriterOptions{options.force});
    if (resumes) resumption->copy_into(*writer);
  });
  if (writer && !resumes) notices.insert(notices.end(), writer->notices().begin(), writer->notices().end());
  for (const std::string& notice : notices) {
    progress.clear();
    fmt::print(stderr, "rackproof: {}\n", notice);
  }
  std::int64_t block = writer ? writer->ranks_per_block() : 0;
  world.broadcast({&block, 1});
  const mpi::RowGatherer gatherer(world, static_cast<int>(block));
  times.spent_on("start-up");
  mpi::GlobalClock global_clock(world, clock);
  times.spent_on("clocks");
  Context context{planting->device(*device), collective, platform, options.suite_options, nullptr, &collectives};
  const RunParts parts{world,        global_clock, gatherer, context,   writer ? &*writer : nullptr,
                       header.ranks, telemetry,    watchdog, *planting, times};
  const RunBounds bounds{end_of_this_run(began, options.wall_time), StopSignals::received,
                         resumes ? resumption->earlier_cases(world) : EarlierCases(), limits};
  const RunOutcome outcome = run_cases(parts, options, flags, planned, bounds, progress);
  progress.clear();
  watchdog.progress().enter(Phase::closing_file, true);
  telemetry.stop();
  telemetry.write(world, gatherer, global_clock, parts.writer);
  mpi::agree(world, [&] {
    if (!writer) return;
    writer->finish();
    if (flags.format.empty()) fmt::print("{}", results::show(writer->path()));
    times.spent_on("closing the file");
    fmt::print(stderr, "{}{}\n", closing_words(writer->path().string(), options.limits), times.line());
    if (outcome.ended_early.empty()) return;
    fmt::print(stderr, "rackproof: {}\n", early_end_words(outcome, writer->path().string()));
  });
  return outcome.code;
}

ExitCode run(const RunState& state, const CommandLine& command_line) {
  // Refused before MPI starts, where every rank sees the same arguments.
  const RunOptions options = check_run_arguments(state.arguments, state.suites);
  load_planted_library(options.plants, host_name(), process_rank_hint(), command_line.arguments);
  const double began = SteadyClock().now();
  std::optional<watch::Watchdog> watchdog;  // goes last: MPI_Finalize may hang too
  int argc = 0;
  char** argv = nullptr;
  const mpi::Session session(argc, argv);
  const StopSignals signals;
  auto world = mpi::Communicator::world();
  ExitCode outcome = ExitCode::pass;
  try {
    outcome = run_in_world(state, command_line, began, world, watchdog);
  } catch (const mpi::AgreedError& error) {
    if (world.is_root()) fmt::print(stderr, "rackproof: {}\n", error.line());
    outcome = error.exit_code();
  } catch (...) {
    return end_world_for_exception(world, watchdog ? &*watchdog : nullptr, "");
  }
  if (watchdog) watchdog->progress().enter(Phase::ending);
  return outcome;
}

}  // namespace

void add_run_command(CLI::App& app, CommandLine& command_line) {
  auto* command = app.add_subcommand("run", "Measure: run the suites on every rank and write one result file");
  auto state = std::make_shared<RunState>();
  RunArguments& arguments = state->arguments;
  add_case_options(*command, arguments, state->suites);
  command->add_option("--device", arguments.device, "Backend of the devices: cuda, host, or auto: the best there is")
      ->capture_default_str();
  command
      ->add_option(
          "--hang-timeout", arguments.hang_timeout,
          "A run in which no rank gets any further for so long, or a GPU that is waited for longer, ends with "
          "exit code 75 and tells who is behind, in what (the case, the phase, NCCL's collective), and in which "
          "state; finished cases are kept")
      ->capture_default_str();
  command->add_option("--threads", arguments.threads, "Host threads a rank (default: its share of the cores)");
  command->add_option("--time-budget", arguments.time_budget,
                      "Time for all cases, such as 90s (default: the profile's)");
  command
      ->add_option("--precision", arguments.precision,
                   "A case ends when the 95 % interval of its median is within +- this")
      ->capture_default_str();
  command->add_option("--max-samples", arguments.max_samples, "... or after so many samples")->capture_default_str();
  command
      ->add_option(
          "--start", arguments.start,
          "Of each sample of a collective: window (at one instant of the global clock), barrier (as osu_allreduce "
          "does), auto (a barrier where the clock is too uncertain)")
      ->capture_default_str();
  command
      ->add_option("--order", arguments.order,
                   "Of the cases: shuffled (anew in each launch), listed, or the number of a shuffle to repeat (a file "
                   "has it in its configuration)")
      ->capture_default_str();
  command->add_option(
      "--limits", arguments.limits,
      "FILE.toml or a name, as of 'rackproof accept': a case ends, too, when it is certain on which side of "
      "its limits every device is");
  command->add_option("--out,-o", arguments.out, "Result file (default: rackproof-HOST-TIME.h5)")
      ->each([&arguments](const std::string& /*name*/) { arguments.out_given = true; });
  command
      ->add_option(
          "--resume", arguments.resume,
          "Go on with the run that FILE.h5 or FILE.h5.part holds, in FILE.h5: its finished cases are kept. The "
          "same command is needed, on nodes of the same kind. Without such a file: a new run of that name")
      ->each([&arguments](const std::string& /*name*/) { arguments.resume_given = true; });
  command->add_option("--wall-time", arguments.wall_time,
                      "End in order before so much time has passed: no case is started that does not fit (default: "
                      "SLURM_JOB_END_TIME where set). SIGTERM and SIGUSR1 end the run after the case in flight. Exit "
                      "code 75, and --resume measures the rest");
  command->add_flag("--force", arguments.force, "Replace the result file if it exists");
  command
      ->add_option("--label", arguments.labels, "KEY=VALUE kept in the file, such as integrator=NAME; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--plant", arguments.plants, plant_help())->allow_extra_args(false);
  command->add_option("--progress", arguments.progress, "auto (on a terminal), always, never")->capture_default_str();
  command->footer(benchmark_flags_help() +
                  "Examples:\n"
                  "  mpirun -n 2 rackproof run\n"
                  "  mpirun -n 8 rackproof run --suite gemm,allreduce --label integrator=acme -o rack7.h5\n"
                  "  mpirun -n 4 rackproof run --suite tokens --model llama-100m --tp 2 --time-budget 60s\n"
                  "  srun --mpi=pmix rackproof run --profile accept\n"
                  "  srun --mpi=pmix rackproof run --profile accept --resume nightly.h5   in a job that is requeued\n"
                  "  rackproof run --benchmark_filter='gemm/f64' --benchmark_out=gemm.json");
  command->callback(
      [state, &command_line] { command_line.action = [state, &command_line] { return run(*state, command_line); }; });
}

}  // namespace rackproof

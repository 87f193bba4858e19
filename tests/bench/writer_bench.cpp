// Writes a run that nobody measured with the real writer, as large as wanted, and tells how quickly, beside the disk.
//
// The disk's rate is measured in between: whenever the file has grown by some hundred MB, as many bytes that cannot be
// compressed are appended to a file beside it, in pieces of 8 MiB, then fdatasync().
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/core/error.hpp"
#include "tests/bench/synthetic_run.hpp"

namespace {

using namespace rackproof;
using results::testing::SyntheticOptions;
using results::testing::SyntheticRun;

/// Of all threads of this process, s.
double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds_of(auto&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// A file beside the one that is written, for the disk's own rate. Removed at the end.
class DiskProbe {
 public:
  explicit DiskProbe(std::filesystem::path path) : path_(std::move(path)), bytes_(std::size_t{8} << 20) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor_ < 0) throw usage_error(fmt::format("{}: cannot be created", path_.string()));
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(random());
  }
  DiskProbe(const DiskProbe&) = delete;
  DiskProbe& operator=(const DiskProbe&) = delete;
  ~DiskProbe() {
    ::close(descriptor_);
    ::unlink(path_.c_str());
  }

  void write(std::uintmax_t wanted) {
    seconds_ += seconds_of([&] {
      for (std::uintmax_t done = 0; done < wanted;) {
        const ssize_t got = ::write(descriptor_, bytes_.data(), std::min<std::uintmax_t>(bytes_.size(), wanted - done));
        if (got <= 0 && errno != EINTR) throw infrastructure_error("the disk cannot be written");
        done += static_cast<std::uintmax_t>(std::max<ssize_t>(got, 0));
      }
      ::fdatasync(descriptor_);
    });
    written_ += wanted;
  }
  [[nodiscard]] std::uintmax_t written() const { return written_; }
  [[nodiscard]] double rate() const { return static_cast<double>(written_) / seconds_; }

 private:
  std::filesystem::path path_;
  std::vector<char> bytes_;
  int descriptor_ = -1;
  std::uintmax_t written_ = 0;
  double seconds_ = 0.0;
};

struct Arguments {
  std::string out;
  SyntheticOptions run;
  std::vector<std::string> labels;
  bool without_disk = false;
};

/// What was handed to the writer, and how long it took: the making of the numbers is not counted.
struct Written {
  double seconds = 0.0;
  double finishing = 0.0;  ///< the part of it in finish_case(), which waits for the disk
  double cpu = 0.0;        ///< of all threads, the whole time
  double sample_bytes = 0.0;
};

double sample_bytes_of(const results::RankBlock& block) {
  const auto bytes = [](const auto& column) { return static_cast<double>(column.size() * sizeof(column[0])); };
  return bytes(block.time) + bytes(block.host_time) + bytes(block.begin) + bytes(block.flags) + bytes(block.switches) +
         bytes(block.probe) + bytes(block.steal);
}

Written write_all(const SyntheticRun& run, results::Writer& writer, int ticks, DiskProbe* disk) {
  Written written;
  const auto timed = [&written](auto&& work) {
    const double before = cpu_seconds();
    const double took = seconds_of(work);
    written.cpu += cpu_seconds() - before;
    written.seconds += took;
    return took;
  };
  const results::RunHeader& header = run.header();
  const auto ranks = static_cast<int>(header.ranks.size());
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
      const int step = writer.ranks_per_block();
      for (int first = 0; first < ranks; first += step) {
        const results::RankBlock block = run.block(s, c, first, std::min(step, ranks - first));
        written.sample_bytes += sample_bytes_of(block);
        timed([&] { writer.write_block(s, c, block); });
      }
      const results::CaseOutcome outcome = run.outcome(s, c);
      written.finishing += timed([&] { writer.finish_case(s, c, outcome); });
      if (disk == nullptr) continue;
      constexpr std::uintmax_t piece = std::uintmax_t{256} << 20;
      const std::uintmax_t size = std::filesystem::file_size(writer.part_path());
      if (size >= disk->written() + piece) disk->write(size - disk->written());
    }
  }
  for (int first = 0; ticks > 0 && first < ranks; first += 256) {
    const results::TelemetryBlock block = run.telemetry(first, std::min(256, ranks - first));
    timed([&] { writer.write_telemetry(block); });
  }
  written.finishing += timed([&] { writer.finish(); });
  return written;
}

void write_and_tell(const Arguments& arguments) {
  const SyntheticRun run(arguments.run);
  double making = 0.0;
  std::unique_ptr<results::Writer> writer;
  making = seconds_of([&] {
    writer = std::make_unique<results::Writer>(arguments.out, run.header(), results::WriterOptions{.force = true});
  });
  std::unique_ptr<DiskProbe> disk;
  if (!arguments.without_disk) disk = std::make_unique<DiskProbe>(arguments.out + ".disk");
  const Written written = write_all(run, *writer, arguments.run.ticks, disk.get());
  const auto size = std::filesystem::file_size(arguments.out);
  if (disk && disk->written() < size) disk->write(size - disk->written());

  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const double seconds = making + written.seconds;
  const auto megabytes = [](double bytes) { return bytes / 1e6; };
  fmt::print("{}: {} ranks x {} cases x {} samples (room for {})\n", arguments.out, arguments.run.ranks,
             arguments.run.cases, arguments.run.samples, run.header().max_samples);
  fmt::print("samples      {:9.1f} MB handed over\n", megabytes(written.sample_bytes));
  fmt::print("file         {:9.1f} MB on the disk\n", megabytes(static_cast<double>(size)));
  fmt::print(
      "writer       {:9.2f} s, of which {:.2f} s to create the file and {:.2f} s to end cases; {:.2f} s of CPU\n",
      seconds, making, written.finishing, written.cpu);
  fmt::print("rate         {:9.1f} MB/s of samples, {:.1f} MB/s of the file\n",
             megabytes(written.sample_bytes / seconds), megabytes(static_cast<double>(size) / seconds));
  if (disk) {
    const double rate = disk->rate();
    fmt::print("disk         {:9.1f} MB/s; of that the writer reaches {:.2f} in samples, {:.2f} in bytes of the file\n",
               megabytes(rate), written.sample_bytes / seconds / rate, static_cast<double>(size) / seconds / rate);
  }
  fmt::print("peak memory  {:9.1f} MiB\n", static_cast<double>(usage.ru_maxrss) / 1024.0);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a synthetic result file with the real writer and tells its rate beside the disk's.");
  app.footer(
      "Examples:\n"
      "  writer_bench /tmp/a.h5 --ranks 10240 --cases 200 --samples 100\n"
      "  writer_bench /tmp/b.h5 --ranks 64 --cases 20 --launch 2 --slow-rank 13 --slow-by 0.05 --no-disk");
  Arguments arguments;
  SyntheticOptions& run = arguments.run;
  app.add_option("FILE", arguments.out, "The file to write; an existing one is replaced")->required();
  const auto at_least = [](int low) { return CLI::Range(low, 1 << 30); };
  app.add_option("--ranks", run.ranks, "Ranks")->capture_default_str()->check(at_least(1));
  app.add_option("--ranks-per-node", run.ranks_per_node, "Ranks of a node")->capture_default_str()->check(at_least(1));
  app.add_option("--cases", run.cases, "Cases of all suites")->capture_default_str()->check(at_least(4));
  app.add_option("--samples", run.samples, "Samples of each rank and case")->capture_default_str()->check(at_least(1));
  app.add_option("--room", run.room, "Room for samples; 0: as many as there are")->capture_default_str();
  app.add_option("--ticks", run.ticks, "Ticks of telemetry; 0: none")->capture_default_str();
  app.add_option("--rack", run.rack, "Which rack: its devices differ from those of another")->capture_default_str();
  app.add_option("--launch", run.launch, "Which launch on it")->capture_default_str();
  app.add_option("--noise", run.noise, "Spread of a time from sample to sample")->capture_default_str();
  app.add_option("--device-spread", run.device_spread, "... from device to device")->capture_default_str();
  app.add_option("--launch-spread", run.launch_spread, "... of a case from launch to launch")->capture_default_str();
  app.add_option("--slowdown", run.slowdown, "Of the whole rack: 0.03 makes all times 3 % longer")
      ->capture_default_str();
  app.add_option("--slow-rank", run.slow_rank, "A rank whose own work is slow; -1: none")->capture_default_str();
  app.add_option("--slow-node", run.slow_node, "A node whose messages are slow; -1: none")->capture_default_str();
  app.add_option("--slow-by", run.slow_by, "How slow: 0.1 is 10 % longer")->capture_default_str();
  app.add_option("--label", arguments.labels, "KEY=VALUE, as in `rackproof run`; may be repeated")->expected(1);
  app.add_flag("--no-disk", arguments.without_disk, "Do not measure the disk beside");
  CLI11_PARSE(app, argc, argv);
  for (const std::string& label : arguments.labels) {
    const std::size_t equals = label.find('=');
    run.labels[label.substr(0, equals)] = equals == std::string::npos ? "" : label.substr(equals + 1);
  }
  try {
    write_and_tell(arguments);
  } catch (const Error& error) {
    fmt::print(stderr, "writer_bench: {}\n", error.line());
    return static_cast<int>(error.exit_code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "writer_bench: {}\n", error.what());
    return 1;
  }
  return 0;
}

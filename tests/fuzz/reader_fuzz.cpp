// libFuzzer on everything that reads result files: headers, outcomes, samples, telemetry, and the texts that are made
// of them. What must hold: whatever a file holds, an Error (usage) in one line, or an answer; no other exception, and,
// by the sanitizers, no wrong access. HDF5 itself is not instrumented, and a crash in it counts as HDF5's (run.py).
//
// HDF5's metadata carry checksums, so that nearly every change of a byte would be found at once and nothing behind them
// be tried: here the library is told that all of them are right. Who makes a file can make them right, too: with
// RACKPROOF_SEAL=FILE in the environment, the input is written there with checksums that HDF5 accepts everywhere.
#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <string_view>

#include "common/core/error.hpp"
#include "results/case_summary.hpp"
#include "results/export.hpp"
#include "results/reader.hpp"
#include "results/show.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);
extern "C" std::uint32_t H5_checksum_metadata(const void* data, std::size_t length, std::uint32_t initial);

namespace {

using rackproof::Error;
using rackproof::ExitCode;
namespace results = rackproof::results;

[[noreturn]] void broken_promise(const std::string& what) {
  fmt::print(stderr, "broken promise: {}\n", what);
  std::abort();
}

/// The copy of the input that gets its checksums mended. Empty where nobody wants one.
std::span<std::uint8_t>& sealed() {
  static std::span<std::uint8_t> copy;
  return copy;
}

void open_sealed(std::span<const std::uint8_t> data) {
  const char* path = std::getenv("RACKPROOF_SEAL");
  if (path == nullptr || data.empty()) return;
  const int file = ::open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(data.size())) != 0)
    broken_promise("RACKPROOF_SEAL: no such file");
  // Shared, so that a crash leaves what was mended.
  void* memory = ::mmap(nullptr, data.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (memory == MAP_FAILED) broken_promise("RACKPROOF_SEAL: no memory");
  std::memcpy(memory, data.data(), data.size());
  sealed() = {static_cast<std::uint8_t*>(memory), data.size()};
}

/// A new file each time: HDF5 remembers files that it could not close, by their inode.
class InputFile {
 public:
  explicit InputFile(std::span<const std::uint8_t> data)
      : path_(fmt::format("/dev/shm/rackproof-fuzz-{}.h5", ::getpid())) {
    std::filesystem::remove(path_);
    const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || ::write(file, data.data(), data.size()) != static_cast<ssize_t>(data.size())) {
      broken_promise("/dev/shm cannot be written");
    }
    ::close(file);
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() {
    std::error_code none;
    std::filesystem::remove(path_, none);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void read_all(const std::filesystem::path& path) {
  const results::ResultFile file(path);
  const results::RunHeader& header = file.header();
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    // A file may claim more than can be tried in a second.
    const std::size_t cases = std::min<std::size_t>(header.suites[s].cases.size(), 16);
    for (std::size_t c = 0; c < cases && header.ranks.size() <= 64; ++c) {
      if (!results::is_measured(file.outcome(s, c))) continue;
      static_cast<void>(results::summarise(file, s, c));
      static_cast<void>(results::medians(file, s, c));
      static_cast<void>(file.warmup_time(s, c));
    }
  }
  if (header.ranks.size() <= 64) static_cast<void>(file.telemetry(0, static_cast<int>(header.ranks.size())));
}

/// The texts: of every fourth input one, since they take longer than reading.
void tell_all(const std::filesystem::path& path, unsigned which) {
  if (which == 0) static_cast<void>(results::show(path));
  if (which == 1) static_cast<void>(results::show(path, {.case_regex = "", .ranks = true}));
  static constexpr std::array<results::ExportFormat, 6> formats{
      results::ExportFormat::csv,         results::ExportFormat::json,  results::ExportFormat::junit,
      results::ExportFormat::openmetrics, results::ExportFormat::ocptv, results::ExportFormat::benchmark};
  if (which < 2 || which - 2 >= formats.size()) return;
  results::export_results({path},
                          {.format = formats.at(which - 2), .case_regex = "", .samples = false, .allow_fake = true},
                          [](std::string_view) {});
}

void try_file(const std::filesystem::path& path, unsigned which) {
  const auto promised = [&](auto&& work) {
    try {
      work();
    } catch (const Error& error) {
      const std::string line = error.line();
      if (error.exit_code() != ExitCode::usage) broken_promise("exit code of: " + line);
      if (line.find('\n') != std::string::npos || line.find('\x1b') != std::string::npos) broken_promise(line);
      if (line.find("rackproof-fuzz") == std::string::npos) broken_promise("names no file: " + line);
    }
  };
  promised([&] { read_all(path); });
  promised([&] { tell_all(path, which); });
}

}  // namespace

/// In place of HDF5's own: what was stored, and what should have been.
extern "C" herr_t H5F_get_checksums(const std::uint8_t* buffer, std::size_t size, std::uint32_t* stored,
                                    std::uint32_t* computed) {
  if (stored != nullptr) *stored = 0;
  if (computed != nullptr) *computed = 0;
  const std::span<std::uint8_t> copy = sealed();
  if (copy.empty() || size <= 4) return 0;
  const std::uint32_t right = H5_checksum_metadata(buffer, size - 4, 0);
  for (auto at = copy.begin();; ++at) {
    at = std::search(at, copy.end(), buffer, buffer + size - 4);
    if (copy.end() - at < static_cast<std::ptrdiff_t>(size)) return 0;
    for (std::size_t i = 0; i < 4; ++i) {
      at[static_cast<std::ptrdiff_t>(size - 4 + i)] = static_cast<std::uint8_t>(right >> (8 * i));
    }
  }
}

/// Most of a file is zeros and samples: changes are made where something stands, mostly one number at a time.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  std::minstd_rand random(seed);
  const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  if (size < 64 || below(50) == 0) return LLVMFuzzerMutate(data, size, max_size);
  if (below(50) == 0) return 1 + below(size);
  const auto place = [&] {
    std::size_t at = below(size - 8);
    while (at + 8 < size && data[at] == 0) ++at;
    return std::min(at, size - 8);
  };
  for (std::size_t changes = 1 + below(4); changes > 0; --changes) {
    const std::size_t at = place();
    switch (below(5)) {
      case 0:
        data[at] ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 1:
        data[at] = static_cast<std::uint8_t>(random());
        break;
      case 2: {
        static constexpr std::array<std::uint64_t, 8> odd{0,      1,          0x7f,       0xffff,
                                                          0x8000, 0x7fffffff, 0xffffffff, ~std::uint64_t{0}};
        const std::uint64_t number = odd.at(below(odd.size()));
        std::memcpy(data + at, &number, std::size_t{1} << below(4));
        break;
      }
      case 3: {  // an address, or a length, of this file
        const std::uint64_t number = below(size);
        std::memcpy(data + at, &number, std::size_t{2} << below(3));
        break;
      }
      default: {
        const std::size_t length = 1 + below(std::min<std::size_t>(64, size - at));
        std::memmove(data + at, data + below(size - length), length);
      }
    }
  }
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> input(data, size);
  open_sealed(input);
  const InputFile file(input);
  const std::uint32_t digest = H5_checksum_metadata(data, size, 0);
  try_file(file.path(), digest % 32);
  return 0;
}

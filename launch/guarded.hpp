// Files from elsewhere are not trusted: what reads them runs in a child process with bounded memory and time. A crash,
// a hang or a hunger for memory that a damaged file provokes, in HDF5 or here, ends the child and is one line of the
// command. Nothing of what the child has to say is printed or kept unless it has ended well.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/core/error.hpp"

namespace rackproof {

/// Takes the next piece of a text.
using Emit = std::function<void(std::string_view)>;

struct GuardedRead {
  std::vector<std::filesystem::path> files{};  ///< that are read: for the message, and for the time
  /// Bytes of address space that the child may ask for beyond what the process has already. Enough for headers of
  /// 10 240 ranks x 200 cases and for the largest chunk that the reader accepts (256 MiB), several times over.
  std::uint64_t memory = std::uint64_t{4} << 30;
  /// s of CPU time; 0: 60 s, and one more for each 16 MiB of the files, which is several times what reading and
  /// exporting them takes.
  double cpu_time = 0.0;
  /// False: the child can write to no file at all, whatever a file makes it do.
  bool writes_files = false;
};

/// What --max-memory and --max-time were given; empty: the defaults above.
struct GuardOptions {
  std::string memory;
  std::string time;

  /// Throws Error (usage) where they are no size and no duration.
  [[nodiscard]] GuardedRead read(std::vector<std::filesystem::path> files) const;
};

/// Adds --max-memory and --max-time to a command; `options` must live as long as it.
void add_guard_options(CLI::App& command, GuardOptions& options);

/// Runs `work` in a child and passes what it emits to `take`, here, piece by piece. Returns what `work` returned.
/// Throws what it threw, as an Error with the same exit code and line; Error (usage) where the child crashed, or used
/// up its memory or time: `take` has then got only a part, which must not be used. After a crash, which of several
/// files is to blame is found by reading each on its own. The child's stderr is dropped.
ExitCode run_guarded(const GuardedRead& read, const std::function<ExitCode(const Emit&)>& work, const Emit& take);

/// The same; what was emitted goes to stdout once all of it is there.
ExitCode print_guarded(const GuardedRead& read, const std::function<ExitCode(const Emit&)>& work);

/// The same; it becomes the file `out`, in one step once all of it is there. An existing file is replaced only with
/// `force`. Throws Error, too: usage where `out` exists or cannot be written, infrastructure where the disk is full.
ExitCode write_guarded(const GuardedRead& read, const std::filesystem::path& out, bool force,
                       const std::function<ExitCode(const Emit&)>& work);

}  // namespace rackproof

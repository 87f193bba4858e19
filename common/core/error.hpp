// Errors and exit codes. Every failure that a user can see is an `Error`; only `main` turns it into a
// message and an exit code.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace rackproof {

/// The process exit codes of the `rackproof` command. Scripts and Slurm dependencies rely on them.
enum class ExitCode : int {
  pass = 0,
  internal = 1,        ///< a defect of rackproof itself
  usage = 2,           ///< bad input: an option, a file, a limit
  fail = 3,            ///< a part failed its check, or a regression was found
  inconclusive = 4,    ///< not enough evidence either way
  infrastructure = 75  ///< a node died, a disk is full, a rank hangs: requeue (EX_TEMPFAIL)
};

/// Where something went wrong. Members that are unknown stay empty or negative.
struct Place {
  std::string host;
  int rank = -1;
  std::string device;
};

/// One failure, told in one line: what, where, what to do.
class Error : public std::runtime_error {
 public:
  /// domain: "usage", "mpi", "hdf5", "dnnl", "cuda", ...; code: the library's own code or 0;
  /// call: the library call that failed, or empty; what: one sentence, with the remedy in it.
  Error(ExitCode exit_code, std::string domain, int code, std::string call, const std::string& what, Place place = {});

  [[nodiscard]] ExitCode exit_code() const noexcept { return exit_code_; }
  [[nodiscard]] const std::string& domain() const noexcept { return domain_; }
  [[nodiscard]] int code() const noexcept { return code_; }
  [[nodiscard]] const std::string& call() const noexcept { return call_; }
  [[nodiscard]] const Place& place() const noexcept { return place_; }

  /// The one line for stderr, without the "rackproof: " prefix: "WHAT (CALL: CODE) [host H, rank R, device D]".
  [[nodiscard]] std::string line() const;

 private:
  ExitCode exit_code_;
  std::string domain_;
  int code_;
  std::string call_;
  Place place_;
};

/// Bad input from the user (exit code 2).
[[nodiscard]] Error usage_error(const std::string& what);
/// The machine failed, not the user and not rackproof (exit code 75).
[[nodiscard]] Error infrastructure_error(const std::string& what, Place place = {});

/// Text that came from outside (a file, a name), fit for one line of a terminal: control characters and
/// invalid UTF-8 become '?', and more than `limit` bytes are cut with "...".
[[nodiscard]] std::string printable(std::string_view text, std::size_t limit = 200);

}  // namespace rackproof

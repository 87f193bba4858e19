// gnuplot as a child process: started without a shell, fed and read through pipes, limited in time. Internal to this
// folder.
#pragma once

#include <string>

namespace rackproof::results {

struct GnuplotOptions {
  std::string program = "gnuplot";  ///< found on the PATH
  double time_limit = 60.0;         ///< s, of the whole script
};

/// What gnuplot writes to its standard output for `script`. It reads no start-up file and gets an environment of its
/// own. Throws Error: usage where it is not installed (names the package), internal where it fails or takes too long.
[[nodiscard]] std::string run_gnuplot(const std::string& script, const GnuplotOptions& options = {});

}  // namespace rackproof::results

#include "suites/allreduce/arrivals.hpp"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/random.hpp"

namespace rackproof::allreduce {
namespace {

/// "late" in ASCII: a stream of random numbers of its own.
constexpr std::uint64_t arrivals_purpose = 0x6c617465;

constexpr std::array<std::pair<Arrivals, std::string_view>, 4> arrivals_names{{{Arrivals::together, "together"},
                                                                               {Arrivals::one_late, "one-late"},
                                                                               {Arrivals::linear, "linear"},
                                                                               {Arrivals::random, "random"}}};

}  // namespace

std::string_view name(Arrivals arrivals) {
  for (const auto& [candidate, text] : arrivals_names) {
    if (candidate == arrivals) return text;
  }
  throw Error(ExitCode::internal, "allreduce", static_cast<int>(arrivals), "", "arrivals that do not exist");
}

Arrivals parse_arrivals(std::string_view text, std::string_view what) {
  std::string known;
  for (const auto& [candidate, name] : arrivals_names) {
    if (name == text) return candidate;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  throw usage_error(fmt::format("{}: '{}' is none of {}", what, printable(text), known));
}

double arrival(Arrivals arrivals, double spread, int rank, int ranks, std::uint64_t step, std::uint64_t seed) {
  if (ranks < 2) return 0.0;
  const std::uint64_t stream = random_stream(seed, arrivals_purpose);
  const auto n = static_cast<std::uint64_t>(ranks);
  const auto r = static_cast<std::uint64_t>(rank);
  switch (arrivals) {
    case Arrivals::together:
      return 0.0;
    case Arrivals::one_late:
      // Another rank each step, so that in n steps each was late once.
      return (random_bits(stream, step / n) + step) % n == r ? spread : 0.0;
    case Arrivals::linear:
      return spread * rank / (ranks - 1);
    case Arrivals::random:
      break;
  }
  return spread * random_uniform(stream, step * n + r);
}

}  // namespace rackproof::allreduce

// Who meets whom in which case, as far as that follows from what was measured before; and the buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/measure/companions.hpp"
#include "common/measure/tournament.hpp"
#include "common/stats/pair_model.hpp"
#include "suites/buffer_limits.hpp"
#include "suites/suite.hpp"

namespace rackproof::links {

/// Who takes part: one rank a node, or all ranks.
struct Endpoints {
  std::vector<int> rank;     ///< of each endpoint, ascending
  std::vector<int> node_of;  ///< of each endpoint; empty where each is a node of its own
  [[nodiscard]] int size() const noexcept { return static_cast<int>(rank.size()); }
};

/// scope: auto, nodes or ranks. auto: nodes (the lowest rank of each) where there are enough to tell a slow link from a
/// slow node, else ranks. Throws Error (usage) for another word.
[[nodiscard]] Endpoints choose_endpoints(std::string_view scope, const mpi::Topology& topology);

/// How often the planned rounds are gone through. Of 4 endpoints there are 6 pairs, for which 5 numbers are fitted:
/// what is left says nothing of the noise. So few meet again until there are 24 meetings.
[[nodiscard]] int passes_of(int endpoints);

/// Messages of one size lie in slots, `stride` bytes apart, that the steps walk through.
struct Buffers {
  std::uint64_t message = 0;  ///< bytes
  std::uint64_t stride = 0;
  std::uint64_t slots = 0;
  std::unique_ptr<Buffer> input;   ///< this rank's text from its beginning (payload.hpp)
  std::unique_ptr<Buffer> output;  ///< slots x stride
};
/// A message begins somewhere in the first so many bytes behind the start of its slot, in the input.
inline constexpr std::uint64_t shift_range = std::uint64_t{1} << 16U;

class LinksSession final : public SuiteSession {
 public:
  /// `link_floor`: a share; a link less slow than this is not measured again.
  LinksSession(Endpoints endpoints, std::uint64_t seed, double link_floor = stats::PairOptions{}.link_floor)
      : endpoints_(std::move(endpoints)), seed_(seed), link_floor_(link_floor) {}

  void observe(const Case& which, const Observation& seen) override;

  /// Why this case has nothing to do; empty: it has.
  [[nodiscard]] std::string reason_to_skip(const Case& which);
  /// By rank: whom it meets in this case; -1: nobody.
  [[nodiscard]] std::vector<int> partners(const Case& which, int ranks);

  /// Collective at the first call of a run. Kept from case to case while the size stays.
  [[nodiscard]] const Buffers& buffers(std::uint64_t message, const Context& context);
  /// Another number each time: of the case's place in the run.
  [[nodiscard]] std::uint64_t next_salt() noexcept { return salt_++; }

 private:
  /// Message size and direction: what can be compared.
  using SeriesKey = std::pair<std::int64_t, std::string>;
  using Ends = std::pair<int, int>;
  /// What is slow, driven with fewer and fewer others.
  struct Apart {
    Ends target;
    std::optional<Ends> control;
    std::vector<Ends> others;  ///< the candidates
    double slowdown;           ///< log, of the target
    CompanionSearch search;
  };
  struct Series {
    std::vector<stats::PairTime> times;
    std::optional<stats::PairVerdict> verdict;  ///< of these times
    std::optional<Apart> apart;
    bool apart_planned = false;
  };

  [[nodiscard]] stats::PairOptions options() const;
  [[nodiscard]] Series& series_of(const Case& which);
  [[nodiscard]] const stats::PairVerdict& verdict_of(Series& series) const;
  void plan_apart(Series& series) const;
  [[nodiscard]] double excess(const Series& series, Ends ends, const Observation& seen) const;
  [[nodiscard]] Pairing pairing_of(const Case& which);

  Endpoints endpoints_;
  std::uint64_t seed_;
  double link_floor_;
  std::map<SeriesKey, Series> series_;
  std::optional<BufferLimits> limits_;
  Buffers buffers_;
  std::uint64_t salt_ = 0;
};

}  // namespace rackproof::links

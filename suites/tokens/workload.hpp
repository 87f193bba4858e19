// Prefill and decode as measured operations.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/backends/collective.hpp"
#include "common/backends/device.hpp"
#include "common/measure/workload.hpp"
#include "suites/tokens/model_shape.hpp"
#include "suites/tokens/sampling.hpp"

namespace rackproof::tokens {

enum class Phase { prefill, decode };

/// Steps of a decode case before it goes back to its stated depth.
constexpr std::int64_t decode_window = 64;

struct Plan {
  ModelShape shape;
  DataType type = DataType::f32;
  Phase phase = Phase::prefill;
  std::int64_t batch = 1;
  std::int64_t length = 1;  ///< prefill: tokens of a prompt; decode: tokens in the cache before the first step
  std::uint64_t seed = 1;
  Sampling sampling;
  bool digest_is_shared = true;
  bool has_peers = false;  ///< there are other ranks, of this replica or another: the slowest of all sets the time

  /// Positions that the cache must hold.
  [[nodiscard]] std::int64_t capacity() const { return phase == Phase::prefill ? length : length + decode_window; }
};

/// What the plan needs on each of `tp` ranks, the check against TP = 1 left out.
[[nodiscard]] Memory memory_needed(const Plan& plan, std::int64_t tp);

/// Largest difference of logits that rounding explains, in units of the root mean square of the expected logits.
/// Between two computations that round alike but in another order; see README.md.
[[nodiscard]] double logit_tolerance(const ModelShape& shape, DataType type);

/// Collective over `group`, the ranks of one replica. `device` must outlive the result.
[[nodiscard]] std::unique_ptr<Workload> make_workload(Device& device, std::unique_ptr<Collective> group,
                                                      const Plan& plan);

}  // namespace rackproof::tokens

// The all-reduces of the token engine, for who measures them alone.
#pragma once

#include <cstdint>
#include <set>

#include "suites/suite.hpp"

namespace rackproof::tokens {

/// Elements of the all-reduces (two a layer) of all models, batches and prompts that --model, --batch and --prompt
/// choose: batch x hidden in decode, batch x prompt x hidden in prefill. Throws Error (usage).
[[nodiscard]] std::set<std::int64_t> all_reduce_elements(const Options& options);

}  // namespace rackproof::tokens

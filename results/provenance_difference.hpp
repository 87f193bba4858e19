// What two runs were made with, fact by fact, and what differs.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "results/run_header.hpp"

namespace rackproof::results {

struct ProvenanceDifference {
  std::string subject;  ///< "library libopenblas", "environment OMP_NUM_THREADS", "label site"
  std::string base;     ///< its values there, "a | b" where launches differ; "-": none
  std::string other;
};

/// Everything about a run that should be the same when it is repeated, by subject: not its id, its date, the name of
/// its file or the order of its cases. Texts are as the file has them.
[[nodiscard]] std::map<std::string, std::string> facts_of(const RunHeader& header);

/// Takes out of all sides, and gives back, the subjects that are new in every launch (of 3 or more on a side): they
/// belong to a launch as its number does, and tell nothing of the sides.
[[nodiscard]] std::vector<std::string> take_restless(
    std::span<const std::span<std::map<std::string, std::string>>> sides);

/// One entry a subject whose values on one side are not those on the other.
[[nodiscard]] std::vector<ProvenanceDifference> provenance_differences(
    std::span<const std::map<std::string, std::string>> base,
    std::span<const std::map<std::string, std::string>> other);

/// One line a subject that differs within a side: "OMP_NUM_THREADS: 1 in 9 launches, 2 in 1".
[[nodiscard]] std::vector<std::string> differences_within(std::span<const std::map<std::string, std::string>> side);

}  // namespace rackproof::results

#include "launch/process_rank.hpp"

#include <array>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace rackproof {

int process_rank_hint() {
  for (const char* variable : std::array{"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    const char* text = std::getenv(variable);
    if (text == nullptr) continue;
    const std::string_view view(text);
    int rank = -1;
    const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), rank);
    if (error == std::errc{} && end == view.data() + view.size()) return rank;
  }
  return -1;
}

}  // namespace rackproof

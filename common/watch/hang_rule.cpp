#include "common/watch/hang_rule.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>
#include <tuple>

#include "common/core/units.hpp"
#include "common/watch/process_state.hpp"

namespace rackproof::watch {
namespace {

constexpr std::size_t most_ranks_told = 8;
constexpr std::size_t most_frames_told = 12;

std::string_view phase_words(Phase phase) {
  constexpr std::array<std::string_view, 13> all = {"starting",
                                                    "measuring peak rates",
                                                    "opening the file",
                                                    "between cases",
                                                    "setting up",
                                                    "synchronising clocks",
                                                    "sampling",
                                                    "checking",
                                                    "writing",
                                                    "closing the file",
                                                    "ending (MPI_Finalize)",
                                                    "ended by an error of its own",
                                                    "done"};
  const auto number = static_cast<std::size_t>(phase);
  return number < all.size() ? all.at(number) : "?";
}

std::string seconds_words(double seconds) { return fmt::format("{:.1f} s", seconds); }

/// Nothing, case and sample: the sooner, the further behind.
auto position_of(const RankReport& one) { return std::tuple(one.progress.calls, one.progress.samples); }

std::string place_words(const RankReport& one, const std::vector<std::string>& cases) {
  const ProgressReading& at = one.progress;
  std::string text;
  if (at.case_number > 0 && at.phase > Phase::opening_file && at.phase < Phase::closing_file) {
    const std::size_t index = at.case_number - 1;
    text = fmt::format("{} (case {} of {}), ", index < cases.size() ? cases[index] : "a case", at.case_number,
                       cases.size());
  }
  text += phase_words(at.phase);
  if (at.phase == Phase::sampling) text += fmt::format(" (after {} samples, warm-up included)", at.samples);
  if (at.waits()) text += ", waiting for the others";
  return text;
}

}  // namespace

bool HangRule::look(double now, bool moved, bool works) noexcept {
  const double passed = last_ < 0.0 ? 0.0 : std::clamp(now - last_, 0.0, most_a_look_);
  last_ = now;
  if (moved) {
    idle_ = 0.0;
    stood_ = 0.0;
    return false;
  }
  stood_ += passed;
  if (!works) idle_ += passed;
  return idle_ >= timeout_ || stood_ >= longest_work * timeout_;
}

double Silence::look(double now, bool heard) noexcept {
  const double passed = last_ < 0.0 ? 0.0 : std::clamp(now - last_, 0.0, most_a_look_);
  last_ = now;
  seconds_ = heard ? 0.0 : seconds_ + passed;
  return seconds_;
}

bool is_stuck_by_itself(const RankReport& rank) {
  const ProcessState state{rank.state, 0.0};
  return !rank.known || state.is_gone() || state.is_stopped() || rank.state == 'D';
}

std::vector<std::size_t> find_behind(const std::vector<RankReport>& ranks) {
  std::vector<std::size_t> behind;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (is_stuck_by_itself(ranks[i])) behind.push_back(i);
  }
  if (!behind.empty() || ranks.empty()) return behind;
  const auto sooner = [](const RankReport& a, const RankReport& b) { return position_of(a) < position_of(b); };
  const auto [last, first] = std::minmax_element(ranks.begin(), ranks.end(), sooner);
  if (position_of(*last) == position_of(*first)) return behind;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (position_of(ranks[i]) == position_of(*last)) behind.push_back(i);
  }
  return behind;
}

std::string to_string(const RankReport& rank, const std::vector<std::string>& cases) {
  const std::string where = fmt::format("rank {} on {}", rank.rank, rank.host);
  if (!rank.known) return where + ": its node's watchdog does not answer";
  std::string text = fmt::format("{} ({}{}pid {}): {}", where, rank.device, rank.device.empty() ? "" : ", ", rank.pid,
                                 words(rank.state));
  text += fmt::format(", in {}, for {}", place_words(rank, cases), seconds_words(rank.still));
  if (!rank.kernel_place.empty()) text += ", in the kernel at " + rank.kernel_place;
  return text;
}

std::string waiting_line(const std::vector<RankReport>& ranks, const std::vector<std::string>& cases) {
  const RankReport& first = ranks.front();
  const std::string more = ranks.size() > 1 ? fmt::format(" and {} more", ranks.size() - 1) : "";
  return fmt::format("  {}, rank {}{}, cannot go on: in {}", first.host, first.rank, more, place_words(first, cases));
}

std::vector<std::string> report_lines(Reason reason, double stood, const std::vector<RankReport>& ranks,
                                      const std::vector<std::string>& cases) {
  std::vector<std::size_t> told = find_behind(ranks);
  std::vector<std::string> lines;
  const std::string of = fmt::format("{} rank{}", ranks.size(), ranks.size() == 1 ? "" : "s");
  if (reason == Reason::lost) {
    lines.push_back(fmt::format("the run has lost a process; {} of {} cannot go on", told.size(), of));
  } else if (!told.empty()) {
    lines.push_back(fmt::format("the run hangs: for {} no rank got any further; {} of {} behind", seconds_words(stood),
                                told.size(), of));
  } else {
    lines.push_back(fmt::format(
        "the run hangs: for {} none of {} got any further, and all are equally far: the network, MPI or a library that "
        "they are in is stuck",
        seconds_words(stood), of));
    told.resize(ranks.size());
    std::iota(told.begin(), told.end(), 0U);
  }
  for (std::size_t i = 0; i < told.size() && i < most_ranks_told; ++i) {
    const RankReport& one = ranks[told[i]];
    lines.push_back("  " + to_string(one, cases));
    if (one.stack.empty()) continue;
    const std::size_t frames = std::min(one.stack.size(), most_frames_told);
    lines.push_back(
        fmt::format("    rank {} is in: {}", one.rank,
                    fmt::join(one.stack.begin(), one.stack.begin() + static_cast<std::ptrdiff_t>(frames), " < ")));
  }
  if (told.size() > most_ranks_told) lines.push_back(fmt::format("  and {} more ranks", told.size() - most_ranks_told));
  if (told.size() < ranks.size()) {
    const auto furthest = std::max_element(ranks.begin(), ranks.end(), [](const RankReport& a, const RankReport& b) {
      return position_of(a) < position_of(b);
    });
    lines.push_back("  the furthest: " + to_string(*furthest, cases));
  }
  return lines;
}

}  // namespace rackproof::watch

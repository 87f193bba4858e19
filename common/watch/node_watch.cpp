#include "common/watch/node_watch.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <thread>
#include <utility>

#include "common/watch/stack.hpp"

namespace rackproof::watch {
namespace {

/// The share of a processor that a rank must use to count as working.
constexpr double working_share = 0.05;
/// s until a process that is gone counts as lost: its own words come first, and the launcher ends the job where it can.
constexpr double mourning = 3.0;
/// The same where the rank was ending the job itself.
constexpr double mourning_after_error = 10.0;
/// Every rank waits in the kernel now and then, for a page or a disk. One that is stuck there is found there each time.
constexpr int looks_into_kernel = 10;
constexpr std::chrono::milliseconds between_looks{10};

std::string text_of_device(const BoardSlot& slot) {
  return {slot.device.begin(), std::find(slot.device.begin(), slot.device.end(), '\0')};
}

}  // namespace

NodeLook& NodeLook::operator|=(const NodeLook& other) noexcept {
  moved = moved || other.moved;
  works = works || other.works;
  stopped = stopped || other.stopped;
  lost = lost || other.lost;
  asking = asking || other.asking;
  return *this;
}

NodeWatch::NodeWatch(const Board& board, std::string host, double interval)
    : board_(&board),
      host_(std::move(host)),
      seen_(static_cast<std::size_t>(board.size()), Seen{{}, -1.0, 0.0, Silence(interval), Silence(interval)}) {}

ProcessState NodeWatch::process_of(const BoardSlot& slot) const {
  ProcessState state = read_process_state(slot.pid.load());
  // Another process may have the number by now.
  if (state.started != slot.started.load()) state.letter = 0;
  return state;
}

NodeLook NodeWatch::look(double now) {
  NodeLook all;
  all.asking = board_->asking().load() > 0;
  const bool is_first = is_first_;
  for (int local = 0; local < board_->size(); ++local) {
    const BoardSlot& slot = board_->slot(local);
    Seen& seen = seen_[static_cast<std::size_t>(local)];
    const ProgressReading progress = slot.progress.read();
    const bool moved = !is_first && !progress.same_place(seen.progress);
    all.moved = all.moved || moved;
    seen.progress = progress;
    seen.still.look(now, moved);
    // Who moves is well: no need to ask the kernel.
    const ProcessState process = moved ? ProcessState{'R', 0.0, 0} : process_of(slot);
    const bool ended = progress.phase == Phase::done;
    const double gone = seen.gone.look(now, ended || !process.is_gone());
    all.lost = all.lost || gone >= (progress.phase == Phase::aborting ? mourning_after_error : mourning);
    all.stopped = all.stopped || process.is_stopped();
    if (moved) {
      seen.asked = -1.0;
      continue;
    }
    const double used = process.cpu_seconds - seen.cpu_seconds;
    const bool busy = seen.asked >= 0.0 && used > working_share * (now - seen.asked);
    all.works = all.works || (busy && progress.alone && !progress.waits());
    seen.cpu_seconds = process.cpu_seconds;
    seen.asked = now;
  }
  is_first_ = false;
  return all;
}

std::vector<RankReport> NodeWatch::report() const {
  std::vector<RankReport> reports;
  for (int local = 0; local < board_->size(); ++local) {
    const BoardSlot& slot = board_->slot(local);
    const Seen& seen = seen_[static_cast<std::size_t>(local)];
    RankReport one;
    one.rank = slot.rank.load();
    one.host = host_;
    one.device = text_of_device(slot);
    one.pid = slot.pid.load();
    one.progress = seen.progress;
    one.still = seen.still.seconds();
    one.state = process_of(slot).letter;
    if (one.progress.phase == Phase::done) one.state = 'S';  // it may go, and may be gone
    reports.push_back(std::move(one));
  }
  const auto in_kernel = [](const RankReport& one) { return one.state == 'D'; };
  for (int look = 1; look < looks_into_kernel && std::any_of(reports.begin(), reports.end(), in_kernel); ++look) {
    std::this_thread::sleep_for(between_looks);
    for (std::size_t local = 0; local < reports.size(); ++local) {
      if (in_kernel(reports[local])) reports[local].state = process_of(board_->slot(static_cast<int>(local))).letter;
    }
  }
  for (RankReport& one : reports) {
    if (one.state != 0) one.kernel_place = kernel_place_of(one.pid);
  }
  return reports;
}

std::vector<std::string> NodeWatch::stack_of(int rank) const {
  constexpr double patience = 0.5;
  for (int local = 0; local < board_->size(); ++local) {
    BoardSlot& slot = board_->slot(local);
    if (slot.rank.load() != rank) continue;
    const ProcessState process = process_of(slot);
    return process.is_gone() || process.is_stopped() ? std::vector<std::string>{} : ask_for_stack(slot, patience);
  }
  return {};
}

std::vector<int> NodeWatch::others(int own_pid) const {
  std::vector<int> there;
  for (int local = 0; local < board_->size(); ++local) {
    const BoardSlot& slot = board_->slot(local);
    const int pid = slot.pid.load();
    if (pid != own_pid && !process_of(slot).is_gone()) there.push_back(pid);
  }
  return there;
}

}  // namespace rackproof::watch

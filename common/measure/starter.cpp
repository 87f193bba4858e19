#include "common/measure/starter.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "common/stats/order_statistics.hpp"

namespace rackproof {
namespace {

/// The instant lies this many broadcast times ahead, and the clock's error more.
constexpr double margin = 3.0;
/// Where ranks share cores a broadcast can take as long as the scheduler likes; a sample shall not.
constexpr double longest_window = 20e-3;
/// Clock readings while waiting: only a clock that stands still gets here.
constexpr long most_readings = 1L << 24U;
/// Seconds past the instant that a rank may notice it: some readings of the clock, or a yield.
constexpr double overshoot = 1e-6;
constexpr std::size_t trials = 9;

}  // namespace

Starter::Starter(const mpi::Communicator& world, const mpi::GlobalClock& clock) : world_(&world), clock_(&clock) {
  if (world.size() == 1) return;
  std::array<double, trials> durations{};
  for (double& duration : durations) {
    world.barrier();
    double sent = clock.now();
    world.broadcast({&sent, 1});
    duration = clock.now() - sent;
  }
  world.all_reduce_max(durations);
  const double broadcast = std::max(0.0, stats::median(durations));
  shortest_window_ = std::min(margin * broadcast + clock.error(), longest_window);
  window_ = shortest_window_;
}

Punctuality Starter::start_in_window(double delay) const {
  if (world_->size() == 1) return Punctuality::on_time;
  // Ranks come here from work that took each of them a different time: only after the barrier is the broadcast as
  // short as the window takes it to be.
  world_->barrier();
  double instant = world_->is_root() ? clock_->now() + window_ : 0.0;
  world_->broadcast({&instant, 1});

  const Clock& clock = clock_->local();
  const double start = clock_->to_local(instant) + delay;
  double now = clock.now();
  if (now > start || start - now > 2.0 * longest_window + delay) return Punctuality::arrived_late;
  for (long readings = 0; now < start; ++readings) {
    if (readings == most_readings) return Punctuality::woke_late;
    clock.relax_until(start);
    now = clock.now();
  }
  return now - start > clock_->error() + overshoot ? Punctuality::woke_late : Punctuality::on_time;
}

void Starter::start_by_barrier() const {
  if (world_->size() == 1) return;
  // The first gathers ranks that come from elsewhere, so that the second begins on all of them at nearly one time.
  world_->barrier();
  world_->barrier();
}

void Starter::adapt(double late_share) noexcept {
  if (late_share > 0.1) {
    window_ = std::min(2.0 * window_, longest_window);
  } else if (late_share == 0.0) {
    window_ = std::max(0.9 * window_, shortest_window_);
  }
}

}  // namespace rackproof

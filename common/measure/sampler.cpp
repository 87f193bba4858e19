#include "common/measure/sampler.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

#include "common/measure/starter.hpp"
#include "common/stats/order_statistics.hpp"

namespace rackproof {
namespace {

constexpr double clock_reading_share = 0.05;

/// Seconds of one reading of the clock.
double reading_time(const Clock& clock) {
  constexpr int readings = 64;
  const double first = clock.now();
  double last = first;
  for (int i = 0; i < readings; ++i) last = clock.now();
  return (last - first) / readings;
}

/// Runs batches of steps, and shares what was seen in them. Everything is allocated before the first step.
class Batches {
 public:
  Batches(Workload& workload, const mpi::Communicator& world, const mpi::GlobalClock& clock)
      : workload_(workload),
        world_(world),
        clock_(clock),
        starter_(world, clock),
        began_(clock.local().now()),
        begin_(largest_batch),
        end_(largest_batch),
        starts_(largest_batch),
        flags_(largest_batch),
        delays_(largest_batch),
        figures_(largest_batch),
        shared_(columns * largest_batch + 1) {}

  /// Collective. `count` steps, then one exchange. Behind it the spans hold what this rank saw of them, and the
  /// figures, elapsed() and cycle() are the same on every rank.
  void run(int count) {
    count_ = static_cast<std::size_t>(count);
    const Clock& local = clock_.local();
    for (std::size_t i = 0; i < count_; ++i) {
      workload_.prepare();
      delays_[i] = workload_.delay();
      Punctuality start = Punctuality::on_time;
      if (by_barrier_) {
        starter_.start_by_barrier();
      } else {
        start = starter_.start_in_window(delays_[i]);
      }
      const double begin = local.now();
      workload_.step();
      const double end = local.now();
      begin_[i] = begin;
      end_[i] = end;
      starts_[i] = start;
    }
    share();
  }

  /// From now on by a double barrier.
  void use_barrier() noexcept { by_barrier_ = true; }
  [[nodiscard]] bool by_barrier() const noexcept { return by_barrier_; }
  /// Some rank had a delay: only the clock tells then when the last one began.
  [[nodiscard]] bool staggered() const noexcept { return staggered_; }

  [[nodiscard]] std::span<const double> begin() const { return {begin_.data(), count_}; }
  [[nodiscard]] std::span<const double> end() const { return {end_.data(), count_}; }
  [[nodiscard]] std::span<const std::uint8_t> flags() const { return {flags_.data(), count_}; }
  [[nodiscard]] std::span<const double> figures() const { return {figures_.data(), count_}; }
  [[nodiscard]] double elapsed() const noexcept { return elapsed_; }  ///< s since construction, of the slowest rank
  [[nodiscard]] double cycle() const noexcept { return cycle_; }      ///< s a step of the last batch, with its start

 private:
  static constexpr std::size_t columns = 5;  // end, begin, duration, late, delay

  void share() {
    double* const ends = shared_.data();
    double* const begins = ends + count_;
    double* const durations = begins + count_;
    double* const late = durations + count_;
    double* const delays = late + count_;
    double* const elapsed = delays + count_;
    for (std::size_t i = 0; i < count_; ++i) {
      durations[i] = end_[i] - begin_[i];
      begins[i] = begin_[i] = clock_.to_global(begin_[i]);
      // A duration is this rank's own clock's affair; the drift estimate has no say in it.
      ends[i] = end_[i] = begins[i] + durations[i];
      late[i] = starts_[i] == Punctuality::arrived_late ? 1.0 : 0.0;
      delays[i] = delays_[i];
      flags_[i] = by_barrier_ ? sample_barrier : starts_[i] == Punctuality::on_time ? 0 : sample_late;
    }
    *elapsed = clock_.local().now() - began_;
    world_.all_reduce_max({shared_.data(), columns * count_ + 1});

    const bool by_clock = workload_.is_collective() && !by_barrier_;
    double late_samples = 0.0;
    for (std::size_t i = 0; i < count_; ++i) {
      figures_[i] = by_clock ? ends[i] - begins[i] : durations[i];
      late_samples += late[i];
      staggered_ = staggered_ || delays[i] > 0.0;
    }
    cycle_ = (*elapsed - elapsed_) / static_cast<double>(count_);
    elapsed_ = *elapsed;
    if (!by_barrier_) starter_.adapt(late_samples / static_cast<double>(count_));
  }

  Workload& workload_;
  const mpi::Communicator& world_;
  const mpi::GlobalClock& clock_;
  Starter starter_;
  double began_;
  bool by_barrier_ = false;
  bool staggered_ = false;
  std::size_t count_ = 0;
  std::vector<double> begin_;
  std::vector<double> end_;
  std::vector<Punctuality> starts_;
  std::vector<std::uint8_t> flags_;
  std::vector<double> delays_;
  std::vector<double> figures_;
  std::vector<double> shared_;
  double elapsed_ = 0.0;
  double cycle_ = 0.0;
};

/// Returns the number of steps.
int warm_up(Batches& batches, bool collective, double clock_error, const StoppingRule& rule) {
  std::vector<double> figures;
  figures.reserve(most_warmup_steps);
  int steps = 0;
  while (const int count = next_warmup_batch(rule, steps, batches.elapsed(), batches.cycle())) {
    batches.run(count);
    steps += count;
    figures.insert(figures.end(), batches.figures().begin(), batches.figures().end());
    const std::span<const double> latest =
        std::span<const double>(figures).last(std::min<std::size_t>(figures.size(), steady_window));
    // A low quantile: what a step takes undisturbed, even on a busy machine.
    if (collective && !batches.by_barrier() && !batches.staggered() &&
        needs_barrier(clock_error, stats::quantile(latest, 0.1))) {
      batches.use_barrier();
      figures.clear();  // another start, another figure: warm up in the mode that is measured in
      continue;
    }
    if (is_steady(figures)) break;
  }
  return steps;
}

}  // namespace

Samples measure(Workload& workload, const mpi::Communicator& world, mpi::GlobalClock& clock, const StoppingRule& rule) {
  Samples samples;
  const auto capacity = static_cast<std::size_t>(std::max(rule.max_samples, fewest_samples));
  samples.begin.reserve(capacity);
  samples.end.reserve(capacity);
  samples.flags.reserve(capacity);
  samples.figure.reserve(capacity);
  double reading = reading_time(clock.local());
  world.all_reduce_max({&reading, 1});

  Batches batches(workload, world, clock);
  const bool collective = workload.is_collective() && world.size() > 1;
  samples.warmup_steps = warm_up(batches, collective, clock.error(), rule);

  int taken = 0;
  while (const int count = next_batch(rule, taken, batches.elapsed(), batches.cycle())) {
    batches.run(count);
    taken += count;
    samples.begin.insert(samples.begin.end(), batches.begin().begin(), batches.begin().end());
    samples.end.insert(samples.end.end(), batches.end().begin(), batches.end().end());
    samples.flags.insert(samples.flags.end(), batches.flags().begin(), batches.flags().end());
    samples.figure.insert(samples.figure.end(), batches.figures().begin(), batches.figures().end());
    if (is_converged(rule, samples.figure)) {
      samples.stop_reason = StopReason::converged;
      break;
    }
    samples.stop_reason = taken >= rule.max_samples ? StopReason::max_samples : StopReason::budget;
  }
  for (std::size_t i = 0; i < samples.figure.size(); ++i) {
    if (reading > clock_reading_share * samples.figure[i]) samples.flags[i] |= sample_short;
  }
  samples.clock_error = std::max(clock.error(), clock.residual());
  return samples;
}

}  // namespace rackproof

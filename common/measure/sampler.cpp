#include "common/measure/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>

#include "common/core/error.hpp"
#include "common/measure/disturbance.hpp"
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
        meter_(clock.local()),
        starter_(world, clock),
        progress_(world.progress()),
        began_(clock.local().now()),
        begin_(largest_batch),
        time_(largest_batch),
        host_time_(largest_batch),
        starts_(largest_batch),
        flags_(largest_batch),
        switches_(largest_batch),
        probe_(largest_batch),
        delays_(largest_batch),
        figures_(largest_batch),
        shared_(columns * largest_batch + 2) {}

  /// Collective. `count` samples, then one exchange. Behind it the spans hold what this rank saw of them, and the
  /// figures, elapsed() and cycle() are the same on every rank.
  void run(int count) {
    count_ = static_cast<std::size_t>(count);
    const double steal = meter_.steal();
    for (std::size_t i = 0; i < count_; ++i) {
      const std::int64_t switches = DisturbanceMeter::switches();
      if (workload_.is_streamed()) {
        stream(i);
      } else {
        isolated(i);
      }
      switches_[i] = static_cast<std::uint16_t>(std::min<std::int64_t>(DisturbanceMeter::switches() - switches, 65535));
      probe_[i] = static_cast<float>(meter_.probe());
      if (progress_ != nullptr) progress_->end_sample(begin_[i]);
    }
    steal_ = static_cast<float>(meter_.steal() - steal);
    share();
  }

  /// From now on what is sampled is judged, too.
  void judge_by(Certainty& certainty) noexcept { certainty_ = &certainty; }
  /// All ranks know on which side of every limit they are. The same on every rank.
  [[nodiscard]] bool is_certain() const noexcept { return certain_; }
  /// From now on by a double barrier.
  void use_barrier() noexcept { by_barrier_ = true; }
  [[nodiscard]] bool by_barrier() const noexcept { return by_barrier_; }
  /// From now on so many operations a sample.
  void use_rows_of(int operations) noexcept { operations_ = operations; }
  [[nodiscard]] int operations() const noexcept { return operations_; }
  /// Some rank had a delay: only the clock tells then when the last one began.
  [[nodiscard]] bool staggered() const noexcept { return staggered_; }

  /// Adds what this rank saw of the last batch.
  void append_to(Samples& samples) const {
    const auto append = [this](auto& to, const auto& from) {
      to.insert(to.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count_));
    };
    append(samples.begin, begin_);
    append(samples.time, time_);
    append(samples.host_time, host_time_);
    append(samples.flags, flags_);
    append(samples.switches, switches_);
    append(samples.probe, probe_);
    append(samples.figure, figures_);
    samples.steal.insert(samples.steal.end(), count_, steal_);
  }
  [[nodiscard]] std::span<const double> figures() const { return {figures_.data(), count_}; }
  [[nodiscard]] double elapsed() const noexcept { return elapsed_; }  ///< s since construction, of the slowest rank
  [[nodiscard]] double cycle() const noexcept { return cycle_; }      ///< s a step of the last batch, with its start

 private:
  static constexpr std::size_t columns = 5;  // end, begin, time, late, delay

  void isolated(std::size_t i) {
    const Clock& local = clock_.local();
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
    workload_.finish();
    const double end = local.now();
    begin_[i] = begin;
    time_[i] = end - begin;
    host_time_[i] = std::numeric_limits<double>::quiet_NaN();
    starts_[i] = start;
    if (workload_.is_collective()) return;  // whose figure is made of instants on the global clock
    if (const double seconds = workload_.device_seconds(); std::isfinite(seconds)) {
      host_time_[i] = std::exchange(time_[i], seconds);
    }
  }

  void stream(std::size_t i) {
    const Clock& local = clock_.local();
    starter_.start_by_barrier();
    const double begin = local.now();
    for (int operation = 0; operation < operations_; ++operation) {
      workload_.prepare();
      workload_.step();
    }
    workload_.finish();
    const double end = local.now();
    begin_[i] = begin;
    time_[i] = (end - begin) / operations_;
    host_time_[i] = std::numeric_limits<double>::quiet_NaN();
    starts_[i] = Punctuality::on_time;
    delays_[i] = 0.0;
  }

  void share() {
    double* const ends = shared_.data();
    double* const begins = ends + count_;
    double* const times = begins + count_;
    double* const late = times + count_;
    double* const delays = late + count_;
    double* const elapsed = delays + count_;
    for (std::size_t i = 0; i < count_; ++i) {
      // A time is this rank's own clock's affair; the drift estimate has no say in it.
      times[i] = time_[i];
      begins[i] = begin_[i] = clock_.to_global(begin_[i]);
      ends[i] = begins[i] + times[i];
      late[i] = starts_[i] == Punctuality::arrived_late ? 1.0 : 0.0;
      delays[i] = delays_[i];
      flags_[i] = by_barrier_ ? sample_barrier : starts_[i] == Punctuality::on_time ? 0 : sample_late;
    }
    double* const open = elapsed + 1;
    *elapsed = clock_.local().now() - began_;
    const bool judges = certainty_ != nullptr && certainty_->is_asked();
    if (judges) certainty_->add_own({time_.data(), count_});
    *open = judges && certainty_->own_is_open() ? 1.0 : 0.0;
    world_.all_reduce_max({shared_.data(), columns * count_ + 2});

    const bool by_clock = workload_.is_collective() && !by_barrier_ && !workload_.is_streamed();
    double late_samples = 0.0;
    for (std::size_t i = 0; i < count_; ++i) {
      figures_[i] = by_clock ? ends[i] - begins[i] : times[i];
      late_samples += late[i];
      staggered_ = staggered_ || delays[i] > 0.0;
    }
    if (judges) {
      certainty_->add_job({figures_.data(), count_});
      certain_ = !(*open > 0.0) && !certainty_->job_is_open();
    }
    if (by_barrier_ && staggered_) {
      throw mpi::AgreedError(usage_error(
          "--start barrier: only the clock can make ranks late on purpose; leave --start or --arrivals out"));
    }
    cycle_ = (*elapsed - elapsed_) / static_cast<double>(count_);
    elapsed_ = *elapsed;
    if (!by_barrier_) starter_.adapt(late_samples / static_cast<double>(count_));
  }

  Workload& workload_;
  const mpi::Communicator& world_;
  const mpi::GlobalClock& clock_;
  DisturbanceMeter meter_;
  Starter starter_;
  ProgressWord* progress_;  // null where nobody wants to know
  double began_;
  bool by_barrier_ = false;
  int operations_ = 1;
  bool staggered_ = false;
  std::size_t count_ = 0;
  std::vector<double> begin_;
  std::vector<double> time_;
  std::vector<double> host_time_;
  std::vector<Punctuality> starts_;
  std::vector<std::uint8_t> flags_;
  std::vector<std::uint16_t> switches_;
  std::vector<float> probe_;
  float steal_ = 0.0F;
  std::vector<double> delays_;
  std::vector<double> figures_;
  std::vector<double> shared_;
  double elapsed_ = 0.0;
  double cycle_ = 0.0;
  Certainty* certainty_ = nullptr;
  bool certain_ = false;
};

/// Returns the figures of all of it.
std::vector<double> warm_up(Batches& batches, const Workload& workload, bool may_need_barrier, double clock_error,
                            const StoppingRule& rule) {
  std::vector<double> all;
  all.reserve(most_warmup_steps);
  std::size_t first = 0;  // of those in the mode that is measured in
  bool streams = false;
  while (const int count = next_warmup_batch(rule, static_cast<int>(all.size()), batches.elapsed(), batches.cycle())) {
    batches.run(count);
    all.insert(all.end(), batches.figures().begin(), batches.figures().end());
    const std::span<const double> figures = std::span<const double>(all).subspan(first);
    // A low quantile: what a step takes undisturbed, even on a busy machine.
    const double undisturbed = stats::quantile(figures.last(std::min<std::size_t>(figures.size(), steady_window)), 0.1);
    if (workload.is_streamed()) {
      // A first operation meets cold caches, and connections that are not there yet: never ask it alone.
      if (!streams && figures.size() > 1) {
        batches.use_rows_of(streamed_operations(undisturbed));
        streams = true;
        first = all.size();
        batches.run(1);  // alone, to learn how long a row takes
        all.push_back(batches.figures().front());
        continue;
      }
    } else if (may_need_barrier && !batches.by_barrier() && !batches.staggered() &&
               needs_barrier(clock_error, undisturbed)) {
      batches.use_barrier();
      first = all.size();
      continue;
    }
    if (is_steady(figures)) break;
  }
  if (workload.is_streamed() && !streams) batches.use_rows_of(streamed_operations(all.back()));
  return all;
}

}  // namespace

Samples measure(Workload& workload, const mpi::Communicator& world, mpi::GlobalClock& clock, const StoppingRule& rule,
                StartMode start) {
  Samples samples;
  const auto capacity = static_cast<std::size_t>(std::max(rule.max_samples, fewest_samples));
  for (auto* column : {&samples.begin, &samples.time, &samples.host_time, &samples.figure}) column->reserve(capacity);
  for (auto* column : {&samples.probe, &samples.steal}) column->reserve(capacity);
  samples.flags.reserve(capacity);
  samples.switches.reserve(capacity);
  double reading = reading_time(clock.local());
  world.all_reduce_max({&reading, 1});

  Batches batches(workload, world, clock);
  const bool collective = workload.is_collective() && world.size() > 1;
  if (collective && start == StartMode::barrier) batches.use_barrier();
  const bool may_need_barrier = collective && start == StartMode::automatic;
  samples.warmup = warm_up(batches, workload, may_need_barrier, clock.error(), rule);
  samples.operations = batches.operations();

  Certainty certainty(rule, workload.takes_part());
  batches.judge_by(certainty);
  int taken = 0;
  while (const int count = next_batch(rule, taken, batches.elapsed(), batches.cycle())) {
    batches.run(count);
    taken += count;
    batches.append_to(samples);
    if (batches.is_certain()) {
      samples.stop_reason = StopReason::certain;
      break;
    }
    if (is_converged(rule, samples.figure)) {
      samples.stop_reason = StopReason::converged;
      break;
    }
    samples.stop_reason = taken >= rule.max_samples ? StopReason::max_samples : StopReason::budget;
  }
  for (std::size_t i = 0; i < samples.figure.size(); ++i) {
    const bool by_host = std::isnan(samples.host_time[i]);
    if (by_host && reading > clock_reading_share * samples.figure[i] * samples.operations) {
      samples.flags[i] |= sample_short;
    }
  }
  samples.clock_error_before = clock.error();
  samples.clock_error_after = clock.residual(&samples.clock_deviation);
  samples.clock_error = std::max(samples.clock_error_before, samples.clock_error_after);
  return samples;
}

}  // namespace rackproof

// How far a rank has got, where others can read it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace rackproof {

/// What a rank is at. In the order of a run.
enum class Phase : std::uint8_t {
  starting,
  measuring_peaks,
  opening_file,
  between_cases,
  setting_up,
  synchronising,
  sampling,
  checking,
  writing,
  closing_file,
  ending,    ///< MPI_Finalize
  aborting,  ///< an error of this rank ends the job
  done
};

/// What a rank has written there.
struct ProgressReading {
  Phase phase = Phase::starting;
  /// It works by itself: whether it gets any further is up to no other rank.
  bool alone = false;
  std::uint32_t case_number = 0;  ///< in the order of running, from 1; 0: none yet
  /// Of the run's own collectives over all ranks, which every rank calls in the same order: 2 x those that are behind
  /// it, and 1 more while it is inside of one.
  std::uint64_t calls = 0;
  std::uint64_t samples = 0;  ///< of this case, warm-up included
  double time = 0.0;          ///< s of the steady clock when phase, case or sample changed last

  [[nodiscard]] bool waits() const noexcept { return calls % 2 == 1; }
  /// Further, by whatever: the time is no progress.
  [[nodiscard]] bool same_place(const ProgressReading& other) const noexcept {
    return phase == other.phase && alone == other.alone && case_number == other.case_number && calls == other.calls &&
           samples == other.samples;
  }
};

/// One rank writes, anybody reads, also from another process that has the same memory: nothing here points anywhere. To
/// write is two or three plain stores, some nanoseconds. All zero is a rank that starts.
class ProgressWord {
 public:
  void enter(Phase phase, bool alone = false) noexcept {
    const std::uint64_t number = place_.load(std::memory_order_relaxed) >> case_shift;
    put_place(number, phase, alone);
    time_.store(now(), std::memory_order_relaxed);
  }
  void begin_case(std::uint32_t number) noexcept {
    samples_.store(0, std::memory_order_relaxed);
    put_place(number, Phase::setting_up, true);
    time_.store(now(), std::memory_order_relaxed);
  }
  /// One more. `time`: of the steady clock, which whoever took the sample has read already.
  void end_sample(double time) noexcept {
    add_one(samples_);
    time_.store(time, std::memory_order_relaxed);
  }
  void begin_call() noexcept { add_one(calls_); }
  void end_call() noexcept { add_one(calls_); }

  [[nodiscard]] ProgressReading read() const noexcept {
    const std::uint64_t place = place_.load(std::memory_order_relaxed);
    return {static_cast<Phase>(place & 0xffU),
            (place & alone_bit) != 0,
            static_cast<std::uint32_t>(place >> case_shift),
            calls_.load(std::memory_order_relaxed),
            samples_.load(std::memory_order_relaxed),
            time_.load(std::memory_order_relaxed)};
  }

  [[nodiscard]] static double now() noexcept {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }

 private:
  static constexpr unsigned case_shift = 16;
  static constexpr std::uint64_t alone_bit = 1U << 8U;

  // One writer: no read-modify-write is needed.
  static void add_one(std::atomic<std::uint64_t>& counter) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void put_place(std::uint64_t number, Phase phase, bool alone) noexcept {
    place_.store((number << case_shift) | (alone ? alone_bit : 0U) | static_cast<std::uint64_t>(phase),
                 std::memory_order_relaxed);
  }

  std::atomic<std::uint64_t> place_{0};
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<std::uint64_t> samples_{0};
  std::atomic<double> time_{0.0};
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<double>::is_always_lock_free);
};

}  // namespace rackproof

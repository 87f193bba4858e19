// What parts feel while they are measured: power, clocks, temperature, what held them back.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/core/clock.hpp"

namespace rackproof {

struct TelemetryQuantity {
  enum class Kind {
    level,    ///< readings that fall together become their mean
    counter,  ///< ... the last of them
    bits      ///< ... their union
  };
  std::string name;  ///< snake_case; a dataset's name
  std::string unit;  ///< empty: a plain number
  std::string long_name;
  Kind kind = Kind::level;
  std::vector<std::pair<std::uint32_t, std::string>> bits{};  ///< of Kind::bits: what each says; below 2^24
};

/// Something that can be read again and again.
class TelemetrySource {
 public:
  TelemetrySource() = default;
  TelemetrySource(const TelemetrySource&) = delete;
  TelemetrySource& operator=(const TelemetrySource&) = delete;
  virtual ~TelemetrySource() = default;
  [[nodiscard]] virtual std::vector<TelemetryQuantity> quantities() const = 0;
  /// One value a quantity, NaN where it cannot be had now. Called by one thread at a time.
  virtual void read(std::span<float> values) = 0;
};

/// Rows of readings in bounded memory: when it is full, neighbours fall together, and from then on each row is made of
/// twice as many readings. Nothing is dropped.
class BoundedSeries {
 public:
  /// `capacity`: rows, even.
  BoundedSeries(std::vector<TelemetryQuantity::Kind> kinds, std::size_t capacity);
  void add(double time, std::span<const float> values);

  [[nodiscard]] std::size_t rows() const noexcept { return times_.size(); }
  [[nodiscard]] std::size_t readings_a_row() const noexcept { return stride_; }
  [[nodiscard]] const std::vector<double>& times() const noexcept { return times_; }  ///< of each row's first reading
  /// Of one quantity, a value a row.
  [[nodiscard]] const std::vector<float>& column(std::size_t quantity) const { return columns_.at(quantity); }

 private:
  void halve();
  std::vector<TelemetryQuantity::Kind> kinds_;
  std::size_t capacity_;
  std::size_t stride_ = 1;
  std::size_t in_last_ = 0;  ///< readings in the last row
  std::vector<double> times_;
  std::vector<std::vector<float>> columns_;
};

/// `next` put to a value that stands for `count` readings. NaN says nothing.
[[nodiscard]] float merge(TelemetryQuantity::Kind kind, float value, std::size_t count, float next);

/// Reads its sources in a thread of its own, from construction to stop().
class TelemetrySampler {
 public:
  static constexpr std::size_t capacity = 2048;

  /// `clock` must outlive the object. `interval`: s. No thread is started where there are no sources.
  TelemetrySampler(std::vector<std::unique_ptr<TelemetrySource>> sources, const Clock& clock, double interval);
  TelemetrySampler(const TelemetrySampler&) = delete;
  TelemetrySampler& operator=(const TelemetrySampler&) = delete;
  ~TelemetrySampler();

  /// Of all sources, in the order of series().
  [[nodiscard]] const std::vector<TelemetryQuantity>& quantities() const noexcept { return quantities_; }
  /// Ends the thread.
  void stop() noexcept;
  /// What was read so far.
  [[nodiscard]] BoundedSeries series() const;
  /// CPU seconds that reading has taken so far, a second of the run.
  [[nodiscard]] double cost() const;

 private:
  void run() noexcept;
  void read_once();

  std::vector<std::unique_ptr<TelemetrySource>> sources_;
  const Clock* clock_;
  double interval_;
  std::vector<TelemetryQuantity> quantities_;
  std::vector<std::size_t> counts_;  ///< quantities of each source
  std::vector<float> values_;
  double began_;
  mutable std::mutex mutex_;  ///< of what follows
  BoundedSeries series_;
  double ended_ = 0.0;
  double cpu_seconds_ = 0.0;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rackproof

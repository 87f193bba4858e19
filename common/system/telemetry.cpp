#include "common/system/telemetry.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <limits>
#include <system_error>

namespace rackproof {
namespace {

std::vector<TelemetryQuantity> quantities_of(const std::vector<std::unique_ptr<TelemetrySource>>& sources) {
  std::vector<TelemetryQuantity> all;
  for (const auto& source : sources) {
    for (TelemetryQuantity& quantity : source->quantities()) all.push_back(std::move(quantity));
  }
  return all;
}

std::vector<TelemetryQuantity::Kind> kinds_of(const std::vector<TelemetryQuantity>& quantities) {
  std::vector<TelemetryQuantity::Kind> kinds;
  for (const TelemetryQuantity& quantity : quantities) kinds.push_back(quantity.kind);
  return kinds;
}

double cpu_time_of_thread() {
  timespec time{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) != 0) return 0.0;
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

float merge(TelemetryQuantity::Kind kind, float value, std::size_t count, float next) {
  if (std::isnan(next)) return value;
  if (std::isnan(value)) return next;
  switch (kind) {
    case TelemetryQuantity::Kind::level:
      return value + (next - value) / static_cast<float>(count + 1);
    case TelemetryQuantity::Kind::counter:
      return next;
    case TelemetryQuantity::Kind::bits:
      return static_cast<float>(static_cast<std::uint32_t>(value) | static_cast<std::uint32_t>(next));
  }
  return next;
}

BoundedSeries::BoundedSeries(std::vector<TelemetryQuantity::Kind> kinds, std::size_t capacity)
    : kinds_(std::move(kinds)), capacity_(std::max<std::size_t>(capacity / 2 * 2, 2)), columns_(kinds_.size()) {}

void BoundedSeries::add(double time, std::span<const float> values) {
  if (!times_.empty() && in_last_ < stride_) {
    for (std::size_t q = 0; q < columns_.size(); ++q) {
      columns_[q].back() = merge(kinds_[q], columns_[q].back(), in_last_, values[q]);
    }
    ++in_last_;
    return;
  }
  if (times_.size() == capacity_) halve();
  times_.push_back(time);
  for (std::size_t q = 0; q < columns_.size(); ++q) columns_[q].push_back(values[q]);
  in_last_ = 1;
}

void BoundedSeries::halve() {
  const std::size_t rows = times_.size() / 2;
  for (std::size_t row = 0; row < rows; ++row) times_[row] = times_[2 * row];
  times_.resize(rows);
  for (std::size_t q = 0; q < columns_.size(); ++q) {
    std::vector<float>& column = columns_[q];
    for (std::size_t row = 0; row < rows; ++row)
      column[row] = merge(kinds_[q], column[2 * row], 1, column[2 * row + 1]);
    column.resize(rows);
  }
  stride_ *= 2;
}

TelemetrySampler::TelemetrySampler(std::vector<std::unique_ptr<TelemetrySource>> sources, const Clock& clock,
                                   double interval)
    : sources_(std::move(sources)),
      clock_(&clock),
      interval_(interval),
      quantities_(quantities_of(sources_)),
      values_(quantities_.size()),
      began_(clock.now()),
      series_(kinds_of(quantities_), capacity) {
  for (const auto& source : sources_) counts_.push_back(source->quantities().size());
  if (sources_.empty()) return;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): no thread to be had; the series stays empty
  }
}

TelemetrySampler::~TelemetrySampler() { stop(); }

void TelemetrySampler::stop() noexcept {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
  ended_ = clock_->now();
}

BoundedSeries TelemetrySampler::series() const {
  const std::lock_guard lock(mutex_);
  return series_;
}

double TelemetrySampler::cost() const {
  const std::lock_guard lock(mutex_);
  const double until = ended_ > began_ ? ended_ : clock_->now();
  return until > began_ ? cpu_seconds_ / (until - began_) : 0.0;
}

void TelemetrySampler::read_once() {
  std::fill(values_.begin(), values_.end(), std::numeric_limits<float>::quiet_NaN());
  const double now = clock_->now();
  std::size_t at = 0;
  std::size_t i = 0;
  for (const auto& source : sources_) {
    source->read(std::span<float>(values_).subspan(at, counts_[i]));
    at += counts_[i++];
  }
  const std::lock_guard lock(mutex_);
  series_.add(now, values_);
  cpu_seconds_ = cpu_time_of_thread();
}

void TelemetrySampler::run() noexcept {
  const auto step =
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(interval_));
  auto next = std::chrono::steady_clock::now();
  try {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      read_once();
      lock.lock();
      // A reading that took longer than the interval is not made up for.
      next = std::max(next + step, std::chrono::steady_clock::now());
      wake_.wait_until(lock, next, [this] { return stopping_; });
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): telemetry that fails ends; what is measured goes on
  }
}

}  // namespace rackproof

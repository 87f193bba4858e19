#include "common/system/telemetry.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include "common/core/clock.hpp"
#include "common/system/host_telemetry.hpp"

namespace rackproof {
namespace {

using Kind = TelemetryQuantity::Kind;
using ::testing::Each;
using ::testing::ElementsAre;
constexpr float unknown = std::numeric_limits<float>::quiet_NaN();

TEST(BoundedSeries, keeps_every_reading_while_there_is_room) {
  BoundedSeries series({Kind::level, Kind::counter}, 4);
  for (int i = 0; i < 4; ++i) series.add(0.1 * i, std::vector<float>{1.0F * i, 10.0F * i});
  EXPECT_EQ(series.readings_a_row(), 1U);
  EXPECT_THAT(series.column(0), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(series.column(1), ElementsAre(0, 10, 20, 30));
}

TEST(BoundedSeries, joins_neighbours_when_it_is_full_and_later_readings_alike) {
  BoundedSeries series({Kind::level, Kind::counter, Kind::bits}, 4);
  for (int i = 0; i < 12; ++i) {
    const float bit = i == 5 ? 64.0F : 1.0F;  // seen once must be seen at the end
    series.add(i, std::vector<float>{static_cast<float>(i), static_cast<float>(100 + i), bit});
  }
  EXPECT_EQ(series.readings_a_row(), 4U);
  EXPECT_THAT(series.times(), ElementsAre(0, 4, 8));
  EXPECT_THAT(series.column(0), ElementsAre(1.5F, 5.5F, 9.5F));
  EXPECT_THAT(series.column(1), ElementsAre(103, 107, 111));
  EXPECT_THAT(series.column(2), ElementsAre(1, 65, 1));
}

TEST(BoundedSeries, never_has_more_rows_than_its_capacity) {
  BoundedSeries series({Kind::level}, 16);
  for (int i = 0; i < 10000; ++i) {
    series.add(i, std::vector<float>{7.0F});
    ASSERT_LE(series.rows(), 16U);
  }
  EXPECT_THAT(series.column(0), Each(7.0F));
}

TEST(BoundedSeries, what_is_not_known_says_nothing) {
  EXPECT_EQ(merge(Kind::level, unknown, 3, 5.0F), 5.0F);
  EXPECT_EQ(merge(Kind::level, 5.0F, 3, unknown), 5.0F);
  EXPECT_EQ(merge(Kind::bits, 5.0F, 1, 3.0F), 7.0F);
  EXPECT_TRUE(std::isnan(merge(Kind::counter, unknown, 1, unknown)));
}

class CountingSource final : public TelemetrySource {
 public:
  CountingSource(std::string name, int& reads) : name_(std::move(name)), reads_(reads) {}
  [[nodiscard]] std::vector<TelemetryQuantity> quantities() const override { return {{name_, "", "", Kind::counter}}; }
  void read(std::span<float> values) override { values[0] = static_cast<float>(++reads_); }

 private:
  std::string name_;
  int& reads_;
};

TEST(TelemetrySampler, reads_all_sources_until_it_is_stopped_and_tells_what_that_took) {
  const SteadyClock clock;
  int first = 0;
  int second = 0;
  std::vector<std::unique_ptr<TelemetrySource>> sources;
  sources.push_back(std::make_unique<CountingSource>("first", first));
  sources.push_back(std::make_unique<CountingSource>("second", second));
  TelemetrySampler sampler(std::move(sources), clock, 1e-3);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  sampler.stop();
  const int reads = first;
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(first, reads);
  EXPECT_EQ(second, reads);
  EXPECT_GE(reads, 1);
  EXPECT_EQ(sampler.series().rows(), static_cast<std::size_t>(reads));
  EXPECT_EQ(sampler.series().column(1).back(), static_cast<float>(reads));
  ASSERT_EQ(sampler.quantities().size(), 2U);
  EXPECT_EQ(sampler.quantities()[1].name, "second");
  EXPECT_GT(sampler.cost(), 0.0);
}

TEST(TelemetrySampler, without_sources_there_is_nothing) {
  const SteadyClock clock;
  TelemetrySampler sampler({}, clock, 0.1);
  sampler.stop();
  EXPECT_EQ(sampler.series().rows(), 0U);
  EXPECT_EQ(sampler.cost(), 0.0);
}

/// A made-up / with what is written into it.
class FakeRoot : public ::testing::Test {
 protected:
  FakeRoot() {
    std::string name = (std::filesystem::temp_directory_path() / "rackproof-telemetry-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    root_ = name;
  }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;
  ~FakeRoot() override {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  std::filesystem::path root_;
};

TEST_F(FakeRoot, a_node_that_tells_nothing_has_no_telemetry) {
  const SteadyClock clock;
  EXPECT_EQ(make_host_telemetry(clock, root_), nullptr);
}

class HandMovedClock final : public Clock {
 public:
  [[nodiscard]] double now() const override { return instant; }
  double instant = 0.0;
};

TEST_F(FakeRoot, power_is_energy_over_time_also_where_the_counter_begins_again) {
  write("sys/class/powercap/intel-rapl:0/energy_uj", "900000000");
  write("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "1000000000");
  write("sys/class/powercap/intel-rapl:0:0/energy_uj", "5");  // a part of the package
  write("proc/stat", "cpu  1 2 3 4 5 6 7 100 9");
  HandMovedClock clock;
  const auto source = make_host_telemetry(clock, root_);
  ASSERT_NE(source, nullptr);
  const auto quantities = source->quantities();
  ASSERT_EQ(quantities.size(), 2U);
  EXPECT_EQ(quantities[0].name, "cpu_power");
  std::vector<float> values(2);
  source->read(values);
  EXPECT_TRUE(std::isnan(values[0])) << "no interval yet";
  EXPECT_EQ(values[1], 0.0F);
  clock.instant = 2.0;
  write("sys/class/powercap/intel-rapl:0/energy_uj", "100000000");
  write("proc/stat", "cpu  1 2 3 4 5 6 7 350 9");
  source->read(values);
  EXPECT_NEAR(values[0], 100.0, 1e-3);
  EXPECT_NEAR(values[1], 2.5, 1e-3);
}

}  // namespace
}  // namespace rackproof

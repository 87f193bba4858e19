// What a GPU promises as a device. Run by tests/device/run.sh where there is one, and on the test doubles elsewhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/core/error.hpp"
#include "common/core/random.hpp"
#include "tests/fakes/staged_token_kernels.hpp"

namespace rackproof {
namespace {

class Gpu : public ::testing::Test {
 protected:
  void SetUp() override {
    device = open_first_gpu();
    ASSERT_NE(device, nullptr) << "no GPU here, or this build has no CUDA: what tests it is not for this machine";
  }

  template <typename T>
  std::unique_ptr<Buffer> upload(const std::vector<T>& values) {
    auto buffer = device->allocate(values.size() * sizeof(T));
    device->copy_to_device(buffer->data(), values.data(), values.size() * sizeof(T));
    return buffer;
  }
  template <typename T>
  std::vector<T> download(const Buffer& buffer) {
    std::vector<T> values(buffer.bytes() / sizeof(T));
    device->copy_to_host(values.data(), buffer.data(), buffer.bytes());
    return values;
  }

  std::unique_ptr<Device> device;
};

std::vector<std::uint32_t> counted(std::size_t count) {
  std::vector<std::uint32_t> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<std::uint32_t>(i * 2654435761U);
  return values;
}

TEST_F(Gpu, says_what_it_is) {
  EXPECT_FALSE(device->name().empty());
  EXPECT_EQ(device->id().rfind("cuda:", 0), 0U) << device->id();
  const auto facts = device->facts();
  ASSERT_TRUE(facts.contains("uuid"));
  EXPECT_EQ(facts.at("uuid").rfind("GPU-", 0), 0U) << facts.at("uuid");
  ASSERT_TRUE(facts.contains("pci_bus_id"));
  EXPECT_FALSE(device->is_host());
  EXPECT_GT(device->cache_bytes(), 0U);
  EXPECT_GT(device->memory_available(), std::size_t{1} << 20U);
}

TEST_F(Gpu, copies_of_odd_lengths_arrive) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{13}, std::size_t{4097}, (std::size_t{9} << 20U) + 3}) {
    std::vector<std::uint8_t> sent(bytes);
    for (std::size_t i = 0; i < bytes; ++i) sent[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
    const auto first = upload(sent);
    const auto second = device->allocate(bytes);
    device->copy(second->data(), first->data(), bytes);
    EXPECT_EQ(download<std::uint8_t>(*second), sent) << bytes << " bytes";
  }
}

TEST_F(Gpu, a_checksum_tells_of_every_word_and_its_place) {
  ASSERT_TRUE(device->can_checksum());
  const auto checksum_of = [&](const std::vector<std::uint32_t>& words) {
    const auto data = upload(words);
    const auto sum = upload(std::vector<std::uint64_t>{5});
    device->checksum(data->data(), data->bytes(), sum->as<std::uint64_t>());
    return download<std::uint64_t>(*sum).front() - 5;
  };
  for (const std::size_t count : {std::size_t{1}, std::size_t{255}, std::size_t{65536}, std::size_t{1'000'003}}) {
    auto words = counted(count);
    std::uint64_t expected = 0;
    for (std::size_t i = 0; i < count; ++i) expected += random_bits(static_cast<std::uint64_t>(i) << 32U | words[i], 0);
    EXPECT_EQ(checksum_of(words), expected) << count;
    words[count / 2] ^= 1U << 30U;
    EXPECT_NE(checksum_of(words), expected) << count;
    words[count / 2] ^= 1U << 30U;
    std::swap(words.front(), words.back());
    EXPECT_EQ(checksum_of(words) == expected, count == 1) << count;
  }
}

TEST_F(Gpu, host_memory_may_change_as_soon_as_a_copy_returns) {
  constexpr std::size_t count = std::size_t{1} << 20U;
  const std::vector<std::uint32_t> expected = counted(count);
  const auto buffer = device->allocate(count * sizeof(std::uint32_t));
  std::vector<std::uint32_t> host = expected;
  device->copy_to_device(buffer->data(), host.data(), count * sizeof(std::uint32_t));
  std::fill(host.begin(), host.end(), 0U);
  EXPECT_EQ(download<std::uint32_t>(*buffer), expected);
}

TEST_F(Gpu, what_does_not_fit_is_refused_and_the_rest_still_works) {
  const std::size_t too_much = device->memory_available() + (std::size_t{1} << 30U);
  try {
    (void)device->allocate(too_much);
    FAIL() << "more memory than there is was allocated";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::infrastructure);
    EXPECT_NE(error.line().find("GPU-"), std::string::npos) << error.line();
  }
  const std::vector<std::uint32_t> values = counted(1000);
  EXPECT_EQ(download<std::uint32_t>(*upload(values)), values);
}

TEST_F(Gpu, freed_memory_can_be_had_again) {
  const std::size_t half = device->memory_available() / 3 * 2;
  for (int i = 0; i < 3; ++i) EXPECT_NO_THROW((void)device->allocate(half)) << "round " << i;
}

TEST_F(Gpu, its_timer_counts_what_lies_between) {
  const auto timer = device->make_timer();
  ASSERT_NE(timer, nullptr);
  constexpr std::size_t bytes = std::size_t{16} << 20U;
  const auto from = device->allocate(bytes);
  const auto to = device->allocate(bytes);
  timer->begin();
  device->copy(to->data(), from->data(), bytes);
  timer->end();
  const double one = timer->seconds();
  EXPECT_GT(one, 0.0);
  timer->begin();
  for (int i = 0; i < 50; ++i) device->copy(to->data(), from->data(), bytes);
  timer->end();
  EXPECT_GT(timer->seconds(), one);
}

/// y = 2 x by the one kernel that does it: residual += delta, with the residual itself as delta's values.
struct Doubling {
  explicit Doubling(Device& which)
      : device(which),
        residual(which.allocate(bytes)),
        delta(which.allocate(bytes)),
        weight(which.allocate(bytes)),
        output(which.allocate(bytes)) {
    const std::vector<float> ones(hidden, 1.0F);
    for (const auto* buffer : {&residual, &delta, &weight, &output}) {
      device.copy_to_device((*buffer)->data(), ones.data(), bytes);
    }
  }
  void operator()() const {
    device.token_kernels().run(ResidualNormArgs{.residual = residual->as<float>(),
                                                .delta = delta->as<float>(),
                                                .weight = weight->as<float>(),
                                                .output = output->data(),
                                                .output_type = DataType::f32,
                                                .count = 1,
                                                .row_stride = 1,
                                                .hidden = hidden,
                                                .epsilon = 1e-5F});
  }
  [[nodiscard]] float value() const {
    std::vector<float> values(hidden);
    device.copy_to_host(values.data(), residual->data(), bytes);
    return *std::min_element(values.begin(), values.end());
  }
  static constexpr std::size_t hidden = 64;
  static constexpr std::size_t bytes = hidden * sizeof(float);
  Device& device;
  std::unique_ptr<Buffer> residual, delta, weight, output;
};

TEST_F(Gpu, a_recording_does_what_was_recorded_each_time_and_not_while_it_is_recorded) {
  const Doubling add_one(*device);
  device->synchronize();
  const auto recording = device->record([&] {
    add_one();
    add_one();
  });
  EXPECT_EQ(add_one.value(), 1.0F) << "recording ran what it recorded";
  recording->replay();
  EXPECT_EQ(add_one.value(), 3.0F);
  recording->replay();
  recording->replay();
  EXPECT_EQ(add_one.value(), 7.0F);
}

TEST_F(Gpu, what_it_is_asked_is_done_in_order) {
  const Doubling add_one(*device);
  const auto copy = device->allocate(Doubling::bytes);
  for (int i = 0; i < 10; ++i) add_one();
  device->copy(copy->data(), add_one.residual->data(), Doubling::bytes);
  for (int i = 0; i < 10; ++i) add_one();
  EXPECT_EQ(download<float>(*copy).front(), 11.0F);
  EXPECT_EQ(add_one.value(), 21.0F);
}

TEST_F(Gpu, products_that_it_does_not_refuse_are_right) {
  constexpr std::int64_t m = 48;
  constexpr std::int64_t n = 64;
  constexpr std::int64_t k = 96;
  std::vector<float> a(static_cast<std::size_t>(m * k));
  std::vector<float> b(static_cast<std::size_t>(k * n));
  fill_normal(std::span<float>(a), 11, 0, 1.0F);
  fill_normal(std::span<float>(b), 12, 0, 1.0F);
  int done = 0;
  for (const WeightLayout layout : {WeightLayout::plain, WeightLayout::packed}) {
    const MatmulProblem problem{
        .m = m, .n = n, .k = k, .input = DataType::f32, .output = DataType::f32, .layout = layout, .weights_for_m = m};
    if (!device->refuses(problem).empty()) continue;
    const auto plan = device->matmul(problem);
    const auto plain = upload(b);
    const auto weights = device->allocate(plan->weight_bytes());
    plan->pack(plain->data(), weights->data());
    const auto left = upload(a);
    const auto product = upload(std::vector<float>(static_cast<std::size_t>(m * n), NAN));
    plan->run(left->data(), weights->data(), product->data());
    const std::vector<float> c = download<float>(*product);
    EXPECT_FALSE(plan->implementation().empty());
    ++done;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0.0;
        double size = 0.0;
        for (std::int64_t l = 0; l < k; ++l) {
          const double term =
              static_cast<double>(a[static_cast<std::size_t>(i * k + l)]) * b[static_cast<std::size_t>(l * n + j)];
          sum += term;
          size += std::abs(term);
        }
        // k roundings of f32 (not of tf32, which is 2^13 times as coarse).
        ASSERT_NEAR(c[static_cast<std::size_t>(i * n + j)], sum, static_cast<double>(k) * 0x1p-24 * size)
            << "row " << i << ", column " << j;
      }
    }
  }
  EXPECT_GT(done, 0) << "it refuses every product of f32";
}

}  // namespace
}  // namespace rackproof

// The gemm suite on several ranks: every rank computes the same bits, and a rank that does not is found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/core/clock.hpp"
#include "common/measure/sampler.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/mpi/topology.hpp"
#include "suites/suite.hpp"
#include "tests/fakes/test_device.hpp"

namespace rackproof {
namespace {

class Gemm : public ::testing::Test {
 protected:
  Gemm() {
    platform_.topology = mpi::discover_topology(world_);
    const auto& place = platform_.topology.ranks[static_cast<std::size_t>(world_.rank())];
    device_ = choose_device_backend(backends_, "host")
                  .open_device({.local_rank = place.local_rank,
                                .ranks_on_node = platform_.topology.ranks_on_node(place.node_index),
                                .threads = 1});
    collective_ = choose_collective_backend(backends_, "host").open_collective(world_, *device_);
    options_.values = {{"gemm-types", "f64,f32,bf16,i8"}, {"gemm-sizes", "96,1x256x128"}, {"gemm-algorithms", "auto"}};
    options_.cold_buffers = false;
    for (auto& suite : suites_) {
      if (suite->name() == "gemm") gemm_ = suite.get();
    }
  }

  [[nodiscard]] Context context() { return {*device_, *collective_, platform_, options_}; }

  const mpi::Communicator world_ = mpi::Communicator::world();
  std::vector<std::unique_ptr<Backend>> backends_ = make_all_backends();
  std::vector<std::unique_ptr<Suite>> suites_ = make_all_suites();
  const Suite* gemm_ = nullptr;
  Platform platform_;
  Options options_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Collective> collective_;
};

TEST_F(Gemm, every_rank_passes_and_has_the_same_digest) {
  ASSERT_NE(gemm_, nullptr);
  const SteadyClock steady(true);
  mpi::GlobalClock clock(world_, steady);
  for (const Case& which : gemm_->cases(options_, platform_)) {
    if (!device_->supports(parse_data_type(which.parameters.text("type"), "test"))) continue;
    const auto workload = gemm_->make(which, context());
    const Samples samples = measure(*workload, world_, clock, {.min_samples = 5, .max_samples = 10, .budget = 0.2});
    EXPECT_GE(samples.begin.size(), 3U) << which.name;
    const Verification verification = workload->verify();
    EXPECT_EQ(verification.outcome, Verification::Outcome::passed) << which.name << ": " << verification.detail;
    for (const std::uint64_t digest : world_.gather(verification.digest)) {
      EXPECT_EQ(digest, verification.digest) << which.name;
    }
  }
}

TEST_F(Gemm, the_digest_of_a_rank_with_other_inputs_deviates) {
  options_.values["gemm-types"] = "f32";
  const Case which = gemm_->cases(options_, platform_).front();
  const bool is_last = world_.rank() == world_.size() - 1;
  options_.seed = is_last ? 2 : 1;
  const auto workload = gemm_->make(which, context());
  workload->prepare();
  workload->step();
  const Verification verification = workload->verify();
  EXPECT_EQ(verification.outcome, Verification::Outcome::passed);
  const auto digests = world_.gather(verification.digest);
  for (std::size_t rank = 0; world_.size() > 1 && rank + 1 < digests.size(); ++rank) {
    EXPECT_EQ(digests[rank], digests.front());
    EXPECT_NE(digests[rank], digests.back());
  }
}

TEST_F(Gemm, a_tuned_product_that_one_rank_cannot_make_fails_on_all) {
  options_.values["gemm-types"] = "f32";
  options_.values["gemm-algorithms"] = "tuned";
  const Case which = gemm_->cases(options_, platform_).front();
  TestDevice multiplies_nothing;
  const int last = world_.size() - 1;
  Device& device = world_.rank() == last ? multiplies_nothing : *device_;
  try {
    static_cast<void>(gemm_->make(which, {device, *collective_, platform_, options_}));
    FAIL() << "nothing was thrown";
  } catch (const mpi::AgreedError& error) {
    EXPECT_EQ(error.place().rank, last);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("computes nothing"));
  }
}

TEST_F(Gemm, a_tuned_product_is_right_and_the_same_on_all_ranks) {
  options_.values["gemm-types"] = "f32";
  options_.values["gemm-algorithms"] = "tuned";
  const auto workload = gemm_->make(gemm_->cases(options_, platform_).front(), context());
  workload->prepare();
  workload->step();
  const Verification verification = workload->verify();
  EXPECT_EQ(verification.outcome, Verification::Outcome::passed) << verification.detail;
  for (const std::uint64_t digest : world_.gather(verification.digest)) EXPECT_EQ(digest, verification.digest);
}

}  // namespace
}  // namespace rackproof

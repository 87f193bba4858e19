// Runs GoogleTest on every rank. Only rank 0 prints what passed; every rank prints what failed; the exit code is that
// of the worst rank.
#include <gtest/gtest.h>

#include <memory>

#include "common/mpi/communicator.hpp"

int main(int argc, char** argv) {
  const rackproof::mpi::Session session(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  const auto world = rackproof::mpi::Communicator::world();
  if (!world.is_root()) {
    auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
    const std::unique_ptr<::testing::TestEventListener> printer(listeners.Release(listeners.default_result_printer()));
    class FailurePrinter final : public ::testing::EmptyTestEventListener {
      void OnTestPartResult(const ::testing::TestPartResult& result) override {
        if (result.failed()) fprintf(stderr, "%s:%d: %s\n", result.file_name(), result.line_number(), result.message());
      }
    };
    listeners.Append(std::make_unique<FailurePrinter>().release());
  }
  double worst = RUN_ALL_TESTS();
  world.all_reduce_max({&worst, 1});
  return static_cast<int>(worst);
}

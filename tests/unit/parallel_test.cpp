#include "common/core/parallel.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace rackproof {
namespace {

TEST(Parallel, does_every_piece_once_whatever_the_number_of_threads) {
  for (const int threads : {-1, 0, 1, 2, 3, 40}) {
    std::vector<std::atomic<int>> done(1000);
    in_parallel(done.size(), threads, [&](std::size_t i, std::size_t thread) {
      EXPECT_LT(thread, static_cast<std::size_t>(std::max(threads, 1)));
      ++done[i];
    });
    for (const auto& times : done) EXPECT_EQ(times, 1);
  }
  in_parallel(0, 4, [](std::size_t, std::size_t) { FAIL(); });
}

TEST(Parallel, starts_no_thread_where_one_is_asked_for_or_there_is_one_piece) {
  const auto threads_of = [](std::size_t count, int threads) {
    std::set<std::thread::id> seen;
    std::mutex mutex;
    in_parallel(count, threads, [&](std::size_t, std::size_t) {
      const std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
    return seen;
  };
  const std::set<std::thread::id> only_this{std::this_thread::get_id()};
  EXPECT_EQ(threads_of(100, 1), only_this);
  EXPECT_EQ(threads_of(1, 8), only_this);
}

TEST(Parallel, throws_what_a_piece_throws_when_all_threads_have_ended) {
  for (const int threads : {1, 4}) {
    std::atomic<int> begun{0};
    std::atomic<int> ended{0};
    EXPECT_THROW(in_parallel(10000, threads,
                             [&](std::size_t i, std::size_t) {
                               ++begun;
                               if (i == 10) throw std::runtime_error("the tenth");
                               ++ended;
                             }),
                 std::runtime_error);
    EXPECT_EQ(begun, ended + 1);
    if (threads == 1) {
      EXPECT_EQ(begun, 11) << "what had not begun is left out";
    }
  }
}

TEST(Parallel, sees_at_least_one_core) { EXPECT_GE(usable_cores(), 1); }

TEST(Parallel, takes_results_in_order_in_the_calling_thread) {
  for (const int threads : {0, 1, 2, 5, 40}) {
    std::vector<int> results(500);
    std::vector<int> taken;
    in_parallel_in_order(
        results.size(), threads,
        [&](std::size_t i, std::size_t thread) {
          EXPECT_LT(thread, static_cast<std::size_t>(std::max(threads, 1)));
          if (i % 7 == 0) std::this_thread::yield();
          results[i] = static_cast<int>(2 * i + 1);
        },
        [&, caller = std::this_thread::get_id()](std::size_t i) {
          EXPECT_EQ(std::this_thread::get_id(), caller);
          taken.push_back(results[i]);
        });
    ASSERT_EQ(taken.size(), results.size());
    EXPECT_EQ(taken, results);
  }
}

TEST(Parallel, what_a_piece_or_its_taker_throws_ends_the_row) {
  for (const int threads : {1, 4}) {
    std::size_t taken = 0;
    const auto take = [&](std::size_t) { ++taken; };
    EXPECT_THROW(in_parallel_in_order(
                     1000, threads,
                     [](std::size_t i, std::size_t) {
                       if (i == 10) throw std::runtime_error("the tenth");
                     },
                     take),
                 std::runtime_error);
    EXPECT_LE(taken, 10U);
    std::atomic<int> worked{0};
    EXPECT_THROW(in_parallel_in_order(
                     100000, threads, [&](std::size_t, std::size_t) { ++worked; },
                     [](std::size_t i) {
                       if (i == 3) throw std::logic_error("full");
                     }),
                 std::logic_error);
    EXPECT_GE(worked, 4);
  }
}

}  // namespace
}  // namespace rackproof

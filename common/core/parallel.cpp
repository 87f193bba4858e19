#include "common/core/parallel.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace rackproof {
namespace {

/// Pieces of work that are begun in order by whoever has time, and waited for in order by thread number 0.
class OrderedWork {
 public:
  OrderedWork(std::size_t count, const std::function<void(std::size_t, std::size_t)>& work)
      : work_(work), done_(count) {}

  /// Does the next piece; false where there is none.
  bool do_next(std::size_t thread) {
    const std::size_t i = next_++;
    if (i >= done_.size()) return false;
    try {
      work_(i, thread);
    } catch (...) {
      fail(std::current_exception());
    }
    {
      const std::lock_guard lock(changing_);
      done_[i] = true;
    }
    changed_.notify_one();
    return true;
  }

  /// Until piece `i` is done; works meanwhile. False where something has failed.
  bool wait_for(std::size_t i) {
    for (;;) {
      {
        const std::lock_guard lock(changing_);
        if (failure_ || done_[i]) return !failure_;
      }
      if (do_next(0)) continue;
      std::unique_lock lock(changing_);
      changed_.wait(lock, [&] { return failure_ || done_[i]; });
      return !failure_;
    }
  }

  void fail(const std::exception_ptr& failure) {
    next_ = done_.size();
    const std::lock_guard lock(changing_);
    if (!failure_) failure_ = failure;
  }
  /// When all threads have ended.
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  const std::function<void(std::size_t, std::size_t)>& work_;
  std::atomic<std::size_t> next_{0};
  std::mutex changing_;
  std::condition_variable changed_;
  std::vector<bool> done_;
  std::exception_ptr failure_;
};

}  // namespace

int usable_cores() {
  // Of more CPUs than this mask has room for, all are there.
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(0, sizeof mask, &mask) == 0) return std::max(1, CPU_COUNT(&mask));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void in_parallel(std::size_t count, int threads, const std::function<void(std::size_t i, std::size_t t)>& work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failing;
  const auto take_turns = [&](std::size_t thread) {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        work(i, thread);
      } catch (...) {
        const std::lock_guard lock(failing);
        if (!failure) failure = std::current_exception();
        next = count;
      }
    }
  };
  const std::size_t others =
      std::min(static_cast<std::size_t>(std::max(threads, 1)), std::max<std::size_t>(count, 1)) - 1;
  {
    std::vector<std::jthread> workers;
    workers.reserve(others);
    for (std::size_t i = 0; i < others; ++i) workers.emplace_back(take_turns, i + 1);
    take_turns(0);
  }
  if (failure) std::rethrow_exception(failure);
}

void in_parallel_in_order(std::size_t count, int threads, const std::function<void(std::size_t i, std::size_t t)>& work,
                          const std::function<void(std::size_t i)>& take) {
  OrderedWork ordered(count, work);
  {
    const std::size_t others =
        std::min(static_cast<std::size_t>(std::max(threads, 1)), std::max<std::size_t>(count, 1)) - 1;
    std::vector<std::jthread> workers;
    workers.reserve(others);
    for (std::size_t t = 1; t <= others; ++t) {
      workers.emplace_back([&ordered, t] {
        while (ordered.do_next(t)) continue;
      });
    }
    try {
      for (std::size_t i = 0; i < count && ordered.wait_for(i); ++i) take(i);
    } catch (...) {
      ordered.fail(std::current_exception());
    }
  }
  ordered.rethrow();
}

}  // namespace rackproof

#include "common/core/parallel.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace rackproof {

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

}  // namespace rackproof

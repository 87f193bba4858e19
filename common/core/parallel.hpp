// A loop over several threads, for work on data of ours: nothing that is measured.
#pragma once

#include <cstddef>
#include <functional>

namespace rackproof {

/// The cores that this process may run on, at least 1.
[[nodiscard]] int usable_cores();

/// Calls work(i, t) once for each i in [0, count), in no order, from up to `threads` threads numbered t = 0, 1, ...;
/// the calling thread is number 0. Returns when all have ended. Starts no thread where `threads` or `count` is at
/// most 1. What a call throws is thrown here, the first of them; calls that have not begun by then are left out.
void in_parallel(std::size_t count, int threads, const std::function<void(std::size_t i, std::size_t t)>& work);

/// As in_parallel(), and the calling thread calls take(i) for i = 0, 1, ... in this order, each after work(i) has
/// ended, while other threads work on what follows: for results that one thread has to take in order. What work() or
/// take() throws is thrown here, and take() is not called any more.
void in_parallel_in_order(std::size_t count, int threads, const std::function<void(std::size_t i, std::size_t t)>& work,
                          const std::function<void(std::size_t i)>& take);

}  // namespace rackproof

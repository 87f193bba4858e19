#include "common/core/clock.hpp"

#include <thread>

namespace rackproof {

void SteadyClock::relax() const {
  if (yield_) std::this_thread::yield();
}

}  // namespace rackproof

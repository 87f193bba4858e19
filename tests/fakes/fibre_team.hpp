// A team of many lanes, each a context of its own on one thread, that are switched at barriers and reductions in an
// order which the test chooses: what one order hides, the opposite order shows. A functor whose result depends on the
// order lacks a barrier.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/backends/kernels/arithmetic.hpp"

namespace rackproof {

/// Contexts of which one runs at a time, until it meets others or ends. Next is always the first that can go on: in the
/// order of lanes, so that some are as far ahead of others as barriers let them; in the opposite order; or by chance.
class Fibres {
 public:
  enum class Order { forward, reverse, shuffled };
  static constexpr std::size_t stack_bytes = std::size_t{64} << 10U;

  /// Where lanes wait for one another.
  struct Meeting {
    std::int64_t lanes = 0;
    std::int64_t arrived = 0;
    std::int64_t held = 0;
    std::string call;
  };

  Fibres(std::int64_t lanes, Order order) : order_(order), fibres_(static_cast<std::size_t>(lanes)) {
    for (Fibre& fibre : fibres_) fibre.stack = std::make_unique<std::byte[]>(stack_bytes);
  }
  Fibres(const Fibres&) = delete;
  Fibres& operator=(const Fibres&) = delete;

  /// body(lane) in each context, to the end of all. Throws std::logic_error where lanes do not meet at the same calls.
  void run(const std::function<void(std::int64_t lane)>& body) {
    body_ = &body;
    failure_.clear();
    for (Fibre& fibre : fibres_) start(fibre);
    std::vector<std::size_t> turns(fibres_.size());
    std::iota(turns.begin(), turns.end(), std::size_t{0});
    if (order_ == Order::reverse) std::reverse(turns.begin(), turns.end());
    for (std::size_t turn = 0; turn < turns.size() && failure_.empty();) {
      if (order_ == Order::shuffled && turn == 0) std::shuffle(turns.begin(), turns.end(), random_);
      turn = resume(fibres_[turns[turn]]) ? 0 : turn + 1;
    }
    if (!failure_.empty()) throw std::logic_error(failure_);
    for (const Fibre& fibre : fibres_) {
      if (!fibre.ended) throw std::logic_error("a lane waits in " + fibre.meeting->call + " for one that ended");
    }
  }

  /// Called by a lane: goes on when all lanes of the meeting have come.
  void meet(Meeting& meeting, const char* call) {
    Fibre& own = *running_;
    if (meeting.arrived == 0) meeting.call = call;
    if (meeting.call != call) failure_ = "a lane is in " + std::string(call) + ", another in " + meeting.call;
    own.meeting = &meeting;
    own.number = meeting.held;
    if (++meeting.arrived == meeting.lanes) {
      meeting.arrived = 0;
      ++meeting.held;
    }
    swapcontext(&own.context, &scheduler_);
  }

 private:
  struct Fibre {
    ucontext_t context{};
    std::unique_ptr<std::byte[]> stack;
    Meeting* meeting = nullptr;
    std::int64_t number = 0;  ///< of the meeting that it waits in
    bool ended = false;
  };

  void start(Fibre& fibre) {
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = stack_bytes;
    fibre.context.uc_link = &scheduler_;
    fibre.meeting = nullptr;
    fibre.ended = false;
    // makecontext() passes integers: a pointer goes in two halves.
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    makecontext(&fibre.context, reinterpret_cast<void (*)()>(&Fibres::enter), 2, static_cast<unsigned>(self >> 32U),
                static_cast<unsigned>(self));
  }

  static void enter(unsigned high, unsigned low) {
    auto& self = *reinterpret_cast<Fibres*>((static_cast<std::uintptr_t>(high) << 32U) | low);
    Fibre& own = *self.running_;
    (*self.body_)(&own - self.fibres_.data());
    own.ended = true;
  }

  /// False: it cannot go on.
  bool resume(Fibre& fibre) {
    if (fibre.ended) return false;
    if (fibre.meeting != nullptr && fibre.meeting->held == fibre.number) return false;
    running_ = &fibre;
    swapcontext(&scheduler_, &fibre.context);
    return true;
  }

  Order order_;
  std::mt19937 random_{12345};
  std::vector<Fibre> fibres_;
  ucontext_t scheduler_{};
  Fibre* running_ = nullptr;
  const std::function<void(std::int64_t)>* body_ = nullptr;
  std::string failure_;
};

/// One lane of a team whose lanes are fibres.
class FibreTeam {
 public:
  /// What may be left out, to see that a test would notice.
  enum class Missing { nothing, barriers, ends_of_loops, begins_of_reductions };

  /// What the lanes of a team share.
  struct Shared {
    Shared(Fibres& all, std::int64_t lanes, Missing gone)
        : fibres(all), missing(gone), partial(static_cast<std::size_t>(lanes)) {
      meeting.lanes = lanes;
    }
    Fibres& fibres;
    Missing missing;
    Fibres::Meeting meeting;
    std::vector<float> partial;
    std::vector<std::unique_ptr<Shared>> parts;
    std::int64_t part_lanes = 0;
  };
  /// A whole team, with parts of about the square root of its lanes.
  static std::unique_ptr<Shared> make_shared(Fibres& fibres, std::int64_t lanes, Missing missing) {
    auto shared = std::make_unique<Shared>(fibres, lanes, missing);
    shared->part_lanes = 1;
    while (shared->part_lanes * shared->part_lanes < lanes) shared->part_lanes *= 2;
    for (std::int64_t first = 0; first < lanes; first += shared->part_lanes) {
      shared->parts.push_back(std::make_unique<Shared>(fibres, std::min(shared->part_lanes, lanes - first), missing));
    }
    return shared;
  }

  FibreTeam(Shared& shared, std::int64_t lane) : shared_(shared), lane_(lane) {}

  static constexpr std::int64_t width = 1;
  using Wide = float;
  [[nodiscard]] static float load_wide(const float* from) { return *from; }
  [[nodiscard]] static float load_wide(const kernels::RACKPROOF_ISA::Bf16* from) {
    return kernels::RACKPROOF_ISA::load(*from);
  }
  static void store_wide(float value, float* to) { *to = value; }

  [[nodiscard]] std::int64_t lane() const { return lane_; }
  [[nodiscard]] std::int64_t lanes() const { return shared_.meeting.lanes; }
  void barrier() const {
    if (shared_.missing != Missing::barriers) meet("barrier");
  }

  template <typename Body>
  void for_each(std::int64_t n, Body body) const {
    for (std::int64_t i = lane_; i < n; i += lanes()) body(i);
    if (shared_.missing != Missing::ends_of_loops) meet("for_each");
  }
  template <typename Body>
  void for_each_wide(std::int64_t n, Body body) const {
    for_each(n, body);
  }
  template <typename Body>
  void for_each_part(std::int64_t n, Body body) const {
    const auto parts = static_cast<std::int64_t>(shared_.parts.size());
    const std::int64_t part = lane_ / shared_.part_lanes;
    const FibreTeam team(*shared_.parts[static_cast<std::size_t>(part)], lane_ % shared_.part_lanes);
    for (std::int64_t i = part; i < n; i += parts) body(team, i);
    if (shared_.missing != Missing::ends_of_loops) meet("for_each_part");
  }
  template <typename Body>
  [[nodiscard]] float reduce_sum(std::int64_t n, Body body) const {
    return reduce(n, body, 0.0F, "reduce_sum", [](float a, float b) { return a + b; });
  }
  template <typename Body>
  [[nodiscard]] float reduce_max(std::int64_t n, Body body) const {
    return reduce(n, body, -3.4e38F, "reduce_max", [](float a, float b) { return b > a ? b : a; });
  }

 private:
  void meet(const char* call) const { shared_.fibres.meet(shared_.meeting, call); }

  template <typename Body, typename Combine>
  [[nodiscard]] float reduce(std::int64_t n, Body body, float identity, const char* call, Combine combine) const {
    if (shared_.missing != Missing::begins_of_reductions) meet(call);
    float own = identity;
    for (std::int64_t i = lane_; i < n; i += lanes()) own = combine(own, body(i));
    shared_.partial[static_cast<std::size_t>(lane_)] = own;
    meet(call);
    float all = identity;
    for (const float partial : shared_.partial) all = combine(all, partial);
    return all;
  }

  Shared& shared_;
  std::int64_t lane_;
};

/// All blocks of a functor, one after another, with scratch that holds another value at first in every order.
template <typename Functor>
void run_on_fibres(const Functor& functor, std::int64_t lanes, std::int64_t scratch_floats, Fibres::Order order,
                   FibreTeam::Missing missing = FibreTeam::Missing::nothing) {
  Fibres fibres(lanes, order);
  std::vector<float> scratch(static_cast<std::size_t>(scratch_floats));
  const float garbage = order == Fibres::Order::forward ? __builtin_nanf("") : static_cast<float>(order) * 3.0F;
  for (std::int64_t block = 0; block < functor.blocks(); ++block) {
    std::fill(scratch.begin(), scratch.end(), garbage);
    const auto shared = FibreTeam::make_shared(fibres, lanes, missing);
    fibres.run([&](std::int64_t lane) { functor(FibreTeam(*shared, lane), block, scratch.data()); });
  }
}

}  // namespace rackproof

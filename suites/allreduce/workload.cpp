#include "suites/allreduce/workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/core/digest.hpp"

namespace rackproof::allreduce {
namespace {

constexpr std::uint64_t staging_bytes = std::uint64_t{4} << 20U;

/// The largest cache and the smallest memory of any rank: the buffers of all ranks lie alike. Collective.
BufferPlan agree_on_plan(std::uint64_t message, bool in_place, const Context& context) {
  const std::array<double, 2> mine{static_cast<double>(context.device.cache_bytes()),
                                   static_cast<double>(context.device.memory_available())};
  std::vector<double> all(mine.size() * static_cast<std::size_t>(context.collective.size()));
  const auto send = context.device.allocate(sizeof(mine));
  const auto receive = context.device.allocate(all.size() * sizeof(double));
  context.device.copy_to_device(send->data(), mine.data(), sizeof(mine));
  context.collective.all_gather(send->data(), receive->data(), mine.size(), DataType::f64);
  context.device.copy_to_host(all.data(), receive->data(), all.size() * sizeof(double));
  double cache = mine[0];
  double memory = mine[1];
  for (std::size_t i = 0; i < all.size(); i += 2) {
    cache = std::max(cache, all[i]);
    memory = std::min(memory, all[i + 1]);
  }
  return plan_buffers(message, in_place, context.options.cold_buffers, static_cast<std::uint64_t>(cache),
                      static_cast<std::uint64_t>(memory));
}

}  // namespace

AllReduceWorkload::AllReduceWorkload(DataType type, std::size_t count, bool in_place, const Context& context)
    : device_(context.device),
      collective_(context.collective),
      type_(type),
      size_(size_of(type)),
      count_(count),
      in_place_(in_place),
      plan_(agree_on_plan(count * size_, in_place, context)),
      pattern_(type, context.collective.size(), context.options.seed),
      contributions_(pattern_.contributions(context.collective.rank())),
      input_(device_.allocate(plan_.input_bytes)) {
  if (!in_place_) output_ = device_.allocate(plan_.output_bytes);
  fill();
}

/// From low to high addresses, inputs and outputs by turns, as the steps will meet them: when the last is written, the
/// first ones have left the cache.
void AllReduceWorkload::fill() {
  // No sum: all bits set are NaN, or -1.
  const std::vector<std::byte> untouched(in_place_ ? 0 : staging_bytes, std::byte{0xff});
  for (std::uint64_t begin = 0; begin < plan_.input_bytes; begin += staging_bytes) {
    const std::uint64_t bytes = std::min(staging_bytes, plan_.input_bytes - begin);
    write_contribution(input_->as<std::byte>() + begin, begin / size_, bytes / size_);
    if (begin < plan_.output_bytes) {
      device_.copy_to_device(output_->as<std::byte>() + begin, untouched.data(),
                             std::min(staging_bytes, plan_.output_bytes - begin));
    }
  }
  device_.synchronize();
}

void AllReduceWorkload::write_contribution(std::byte* place, std::uint64_t first, std::uint64_t count) {
  in_periods(first, count, [&](std::uint64_t offset, std::uint64_t at, std::uint64_t piece) {
    device_.copy_to_device(place + offset * size_, contributions_.data() + at * size_, piece * size_);
  });
}

/// Another place in the input each time a slot comes round, so that what is left there of the time before is wrong.
std::uint64_t AllReduceWorkload::shift(std::uint64_t step) const noexcept { return step / plan_.slots % shifts * line; }

std::uint64_t AllReduceWorkload::first_index(std::uint64_t step) const noexcept {
  return (plan_.slot(step) * plan_.stride + shift(step)) / size_;
}

void AllReduceWorkload::prepare() {
  const std::uint64_t step = steps_++;
  const std::uint64_t slot = plan_.slot(step) * plan_.stride;
  if (!in_place_) {
    send_ = input_->as<std::byte>() + slot + shift(step);
    receive_ = output_->as<std::byte>() + slot;
    return;
  }
  // Not the slot of this step, which would be warm then, but the one that is due furthest ahead. In the first round all
  // are as fill() left them.
  const std::uint64_t later = step + plan_.slots - plan_.kept;
  if (later >= plan_.slots) {
    write_contribution(input_->as<std::byte>() + plan_.slot(later) * plan_.stride, first_index(later), count_);
    device_.synchronize();
  }
  receive_ = input_->as<std::byte>() + slot;
  send_ = receive_;
}

Verification AllReduceWorkload::verify() {
  Verification result;
  if (steps_ == 0) {
    result.detail = "no step was run";
    return result;
  }
  Checker checker(pattern_);
  const std::byte* const outputs = (in_place_ ? input_ : output_)->as<std::byte>();
  std::vector<std::byte> host(std::min<std::uint64_t>(count_ * size_, staging_bytes));
  for (std::uint64_t step = steps_ - std::min(steps_, plan_.kept); step < steps_; ++step) {
    const std::byte* const message = outputs + plan_.slot(step) * plan_.stride;
    for (std::uint64_t begin = 0; begin < count_ * size_; begin += host.size()) {
      const std::uint64_t bytes = std::min<std::uint64_t>(host.size(), count_ * size_ - begin);
      device_.copy_to_host(host.data(), message + begin, bytes);
      checker.check(first_index(step) + begin / size_, begin / size_, host.data(), bytes / size_);
      if (step + 1 == steps_) result.digest = digest({host.data(), bytes}, result.digest);
    }
  }
  result.digest_is_shared = true;
  result.error = checker.error();
  result.outcome = judge(result.error);
  result.detail = checker.report();
  return result;
}

}  // namespace rackproof::allreduce

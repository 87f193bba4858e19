#include "suites/links/workload.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/core/error.hpp"
#include "suites/links/payload.hpp"

namespace rackproof::links {
namespace {

constexpr std::uint64_t staging_bytes = std::uint64_t{4} << 20U;
/// Without a common divisor with the number of places: successive cases begin far apart.
constexpr std::uint64_t salt_step = 37;

Verification nothing_to_check() {
  Verification result;
  result.outcome = Verification::Outcome::passed;
  return result;
}

}  // namespace

Direction parse_direction(std::string_view text) {
  if (text == "one-way") return Direction::one_way;
  if (text == "both-ways") return Direction::both_ways;
  throw Error(ExitCode::internal, "links", 0, "", fmt::format("no direction '{}'", printable(text)));
}

PairWorkload::PairWorkload(std::uint64_t message, Direction direction, int partner, LinksSession& session,
                           const Context& context)
    : context_(context),
      buffers_(session.buffers(message, context)),
      direction_(direction),
      partner_(partner),
      first_(context.collective.rank() < partner),
      salt_(session.next_salt()) {}

std::uint64_t PairWorkload::position(std::uint64_t step) const noexcept {
  // Another place each time that a slot comes round, and in each case: what is left from before is wrong.
  const std::uint64_t place = (salt_ * salt_step + step / buffers_.slots) % (shift_range / line);
  return step % buffers_.slots * buffers_.stride + place * line;
}

void PairWorkload::prepare() {
  const std::uint64_t step = steps_++;
  send_ = buffers_.input->as<std::byte>() + position(step);
  receive_ = buffers_.output->as<std::byte>() + step % buffers_.slots * buffers_.stride;
}

void PairWorkload::give(std::uint64_t bytes) {
  context_.collective.send_recv(send_, partner_, nullptr, nobody, bytes, DataType::i8);
}

void PairWorkload::take(std::uint64_t bytes) {
  context_.collective.send_recv(nullptr, nobody, receive_, partner_, bytes, DataType::i8);
}

void PairWorkload::step() {
  if (partner_ < 0) return;
  const std::uint64_t bytes = buffers_.message;
  if (direction_ == Direction::both_ways) {
    context_.collective.send_recv(send_, partner_, receive_, partner_, bytes, DataType::i8);
  } else if (first_) {
    give(bytes);
    take(bytes);
  } else {
    take(bytes);
    give(bytes);
  }
}

Verification PairWorkload::verify() {
  if (partner_ < 0) return nothing_to_check();
  Verification result;
  if (steps_ == 0) {
    result.detail = "no step was run";
    return result;
  }
  Checker checker(partner_, context_.collective.size(), context_.options.seed);
  std::vector<std::byte> host(std::min(buffers_.message, staging_bytes));
  for (std::uint64_t step = steps_ - std::min(steps_, buffers_.slots); step < steps_; ++step) {
    const std::byte* const message = buffers_.output->as<std::byte>() + step % buffers_.slots * buffers_.stride;
    for (std::uint64_t begin = 0; begin < buffers_.message; begin += host.size()) {
      const std::uint64_t bytes = std::min<std::uint64_t>(host.size(), buffers_.message - begin);
      context_.device.copy_to_host(host.data(), message + begin, bytes);
      checker.check(position(step) + begin, begin, host.data(), bytes);
    }
  }
  result.error = checker.error();
  result.outcome = judge(result.error);
  result.detail = checker.report();
  return result;
}

CopyWorkload::CopyWorkload(CopyKind kind, HostMemory memory, std::uint64_t bytes, const Context& context)
    : device_(context.device),
      kind_(kind),
      bytes_(bytes),
      seed_(context.options.seed),
      rank_(context.collective.rank()) {
  const std::vector<std::byte> text = text_of(rank_, seed_);
  const std::uint64_t room = bytes + shift_range;
  if (kind != CopyKind::to_host) to_ = device_.allocate(room);
  if (kind != CopyKind::to_device) from_ = device_.allocate(room);
  if (kind != CopyKind::device && memory == HostMemory::pinned) {
    pinned_ = device_.allocate_host(room);
    host_ = pinned_->as<std::byte>();
  } else if (kind != CopyKind::device) {
    pageable_.resize(room);
    host_ = pageable_.data();
  }
  // No page of it is new to the first copy.
  if (host_ != nullptr) std::fill_n(host_, room, std::byte{0xff});
  for (std::uint64_t begin = 0; begin < room; begin += period) {
    const std::uint64_t piece = std::min(period, room - begin);
    if (kind == CopyKind::to_device) {
      std::copy_n(text.begin(), piece, host_ + begin);
    } else {
      device_.copy_to_device(from_->as<std::byte>() + begin, text.data(), piece);
    }
  }
  device_.synchronize();
}

void CopyWorkload::prepare() { ++steps_; }

void CopyWorkload::step() {
  // From another place each time, so that a copy that was not made is seen.
  const std::uint64_t shift = steps_ % (shift_range / line) * line;
  switch (kind_) {
    case CopyKind::device:
      return device_.copy(to_->data(), from_->as<std::byte>() + shift, bytes_);
    case CopyKind::to_device:
      return device_.copy_to_device(to_->data(), host_ + shift, bytes_);
    case CopyKind::to_host:
      return device_.copy_to_host(host_, from_->as<std::byte>() + shift, bytes_);
  }
}

Verification CopyWorkload::verify() {
  const std::uint64_t shift = steps_ % (shift_range / line) * line;
  Checker checker(rank_, rank_ + 1, seed_);
  std::vector<std::byte> staging(std::min(bytes_, staging_bytes));
  for (std::uint64_t begin = 0; begin < bytes_; begin += staging.size()) {
    const std::uint64_t piece = std::min<std::uint64_t>(staging.size(), bytes_ - begin);
    const std::byte* data = host_ + begin;
    if (to_ != nullptr) {
      device_.copy_to_host(staging.data(), to_->as<std::byte>() + begin, piece);
      data = staging.data();
    }
    checker.check(shift + begin, begin, data, piece);
  }
  Verification result;
  result.error = checker.error();
  result.outcome = judge(result.error);
  result.detail = checker.report();
  return result;
}

}  // namespace rackproof::links

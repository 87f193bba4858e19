#include "suites/allreduce/workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

#include "common/core/digest.hpp"
#include "common/core/error.hpp"
#include "common/core/random.hpp"
#include "suites/allreduce/contents.hpp"
#include "suites/allreduce/elements.hpp"
#include "suites/buffer_limits.hpp"

namespace rackproof::allreduce {
namespace {

constexpr std::uint64_t staging_bytes = std::uint64_t{4} << 20U;

/// Collective.
BufferPlan agree_on_plan(const Footprint& message, const Context& context) {
  const BufferLimits limits = agree_on_buffer_limits(context);
  return plan_buffers(message, context.options.cold_buffers, limits.cache, limits.memory);
}

std::unique_ptr<Buffer> allocate(const Spec& spec, Device& device, Collective& collective, std::size_t bytes) {
  return spec.registered ? collective.allocate_registered(bytes) : device.allocate(bytes);
}

int color_of(const Spec& spec, const Context& context) {
  return spec.groups.colors.at(static_cast<std::size_t>(context.collective.rank()));
}

std::unique_ptr<Collective> make_group(const Spec& spec, const Context& context) {
  if (spec.groups.is_world()) return nullptr;
  return collective_of(spec, context).split(color_of(spec, context));
}

/// Every group has contents of its own: what went to the wrong group is wrong.
std::uint64_t seed_of(const Spec& spec, const Context& context) {
  const std::uint64_t seed = context.options.seed;
  return spec.groups.is_world() ? seed : random_stream(seed, static_cast<std::uint64_t>(color_of(spec, context)) + 1);
}

std::unique_ptr<Content> make_content(const Spec& spec, int ranks, std::uint64_t seed) {
  if (spec.inputs == Inputs::normals) return normal_content(spec.type, ranks, seed);
  if (reduces(spec.operation)) return reduced_content(spec.type, spec.reduction, ranks, seed);
  return moved_content(spec.type, ranks, seed);
}

}  // namespace

Collective& collective_of(const Spec& spec, const Context& context) {
  if (spec.backend.empty() || context.collectives == nullptr) return context.collective;
  return context.collectives->get(spec.backend);
}

CollectiveWorkload::CollectiveWorkload(const Spec& spec, const Context& context)
    : spec_(spec),
      device_(context.device),
      group_(make_group(spec, context)),
      collective_(group_ ? *group_ : collective_of(spec, context)),
      size_(size_of(spec.type)),
      block_(spec.count / static_cast<std::size_t>(collective_.size())),
      footprint_(footprint(spec.operation, spec.count * size_, collective_.size(), spec.in_place)),
      plan_(agree_on_plan(footprint_, context)),
      advance_(plan_.pace % plan_.slots),
      seed_(seed_of(spec, context)),
      content_(make_content(spec, collective_.size(), seed_)),
      contributions_(content_->contributions(collective_.rank())),
      staging_(staging_bytes),
      input_(allocate(spec, device_, collective_, plan_.input_bytes)) {
  if (!spec_.in_place) output_ = allocate(spec, device_, collective_, plan_.output_bytes);
  if (spec_.inputs == Inputs::normals) {
    digests_ = device_.allocate(sizeof(std::uint64_t) * repetitions * static_cast<std::size_t>(1 + collective_.size()));
  }
  fill();
}

/// From low to high addresses, inputs and outputs by turns, as the steps will meet them: when the last is written, the
/// first ones have left the cache.
void CollectiveWorkload::fill() {
  // No result: all bits set are NaN, or -1.
  const std::vector<std::byte> untouched(spec_.in_place ? 0 : staging_bytes, std::byte{0xff});
  const auto left = [](std::uint64_t begin, std::uint64_t bytes) {
    return begin < bytes ? std::min(staging_bytes, bytes - begin) : 0;
  };
  for (std::uint64_t begin = 0; begin < std::max(plan_.input_bytes, plan_.output_bytes); begin += staging_bytes) {
    if (const std::uint64_t bytes = left(begin, plan_.input_bytes); bytes > 0) {
      write_contribution(input_->as<std::byte>() + begin, begin / size_, bytes / size_);
    }
    if (const std::uint64_t bytes = left(begin, plan_.output_bytes); bytes > 0) {
      device_.copy_to_device(output_->as<std::byte>() + begin, untouched.data(), bytes);
    }
  }
  device_.synchronize();
}

void CollectiveWorkload::write_contribution(std::byte* place, std::uint64_t first, std::uint64_t count) {
  in_periods(first, count, [&](std::uint64_t offset, std::uint64_t at, std::uint64_t piece) {
    device_.copy_to_device(place + offset * size_, contributions_.data() + at * size_, piece * size_);
  });
}

/// Another place in the input each time a slot comes round, so that what is left there of the time before is wrong.
std::uint64_t CollectiveWorkload::shift(std::uint64_t step) const noexcept {
  return step / plan_.slots % shifts * line;
}

std::uint64_t CollectiveWorkload::first_index(std::uint64_t step) const noexcept {
  return (plan_.slot(step) * plan_.stride + shift(step)) / size_;
}

const std::byte* CollectiveWorkload::output(std::uint64_t step) const noexcept {
  if (spec_.in_place) return input_->as<std::byte>() + plan_.slot(step) * plan_.stride;
  return output_->as<std::byte>() + plan_.slot(step) * plan_.output_stride;
}

bool CollectiveWorkload::receives() const noexcept {
  return spec_.operation != Operation::reduce || collective_.rank() == root;
}

/// The same bits on all ranks of the job.
bool CollectiveWorkload::results_are_shared() const noexcept {
  const bool same = spec_.operation == Operation::all_reduce || spec_.operation == Operation::all_gather ||
                    spec_.operation == Operation::broadcast;
  return same && spec_.groups.is_world() && spec_.inputs == Inputs::pattern;
}

void CollectiveWorkload::prepare() {
  const std::uint64_t step = steps_++;
  if (spec_.in_place) return prepare_in_place(step);
  send_ = input_->as<std::byte>() + slot_ * plan_.stride + shift_;
  receive_ = output_->as<std::byte>() + slot_ * plan_.output_stride;
  slot_ += advance_;
  if (slot_ >= plan_.slots) slot_ -= plan_.slots;
  if (slot_ == 0) shift_ = shift_ + line == shifts * line ? 0 : shift_ + line;
}

void CollectiveWorkload::prepare_in_place(std::uint64_t step) {
  // Not the slot of this step, which would be warm then, but the one that is due furthest ahead. In the first round all
  // are as fill() left them.
  const std::uint64_t later = step + plan_.slots - plan_.kept;
  if (later >= plan_.slots) {
    write_contribution(input_->as<std::byte>() + plan_.slot(later) * plan_.stride, first_index(later), spec_.count);
    device_.synchronize();
  }
  receive_ = input_->as<std::byte>() + plan_.slot(step) * plan_.stride;
  send_ = receive_;
}

void CollectiveWorkload::step() {
  const int n = collective_.size();
  const int rank = collective_.rank();
  switch (spec_.operation) {
    case Operation::all_reduce:
      return collective_.all_reduce(send_, receive_, spec_.count, spec_.type, spec_.reduction);
    case Operation::reduce_scatter:
      return collective_.reduce_scatter(send_, receive_, block_, spec_.type, spec_.reduction);
    case Operation::all_gather:
      return collective_.all_gather(send_, receive_, block_, spec_.type);
    case Operation::all_to_all:
      return collective_.all_to_all(send_, receive_, block_, spec_.type);
    case Operation::broadcast:
      return collective_.broadcast(receive_, spec_.count, spec_.type, root);
    case Operation::reduce:
      return collective_.reduce(send_, receive_, spec_.count, spec_.type, root, spec_.reduction);
    case Operation::send_recv:
      return collective_.send_recv(send_, (rank + 1) % n, receive_, (rank + n - 1) % n, spec_.count, spec_.type);
  }
}

double CollectiveWorkload::delay() const {
  const std::uint64_t step = steps_ == 0 ? 0 : steps_ - 1;
  return arrival(spec_.arrivals, spec_.spread, collective_.rank(), collective_.size(), step, seed_);
}

template <typename Action>
void CollectiveWorkload::read_pieces(const std::byte* message, std::uint64_t bytes, Action action) {
  for (std::uint64_t begin = 0; begin < bytes; begin += staging_.size()) {
    const std::uint64_t piece = std::min<std::uint64_t>(staging_.size(), bytes - begin);
    device_.copy_to_host(staging_.data(), message + begin, piece);
    action(staging_.data(), begin, piece);
  }
}

void CollectiveWorkload::check_piece(std::uint64_t step, std::uint64_t begin, const std::byte* received,
                                     std::uint64_t count) {
  const std::uint64_t index = first_index(step);
  const auto rank = static_cast<std::uint64_t>(collective_.rank());
  const std::uint64_t own_block = index + rank * block_;
  switch (spec_.operation) {
    case Operation::all_reduce:
    case Operation::reduce:
      return content_->check(Content::all_ranks, index + begin, begin, received, count);
    case Operation::reduce_scatter:
      return content_->check(Content::all_ranks, own_block + begin, begin, received, count);
    case Operation::broadcast:
      return content_->check(root, index + begin, begin, received, count);
    case Operation::send_recv: {
      const int from = (collective_.rank() + collective_.size() - 1) % collective_.size();
      return content_->check(from, index + begin, begin, received, count);
    }
    case Operation::all_gather:
    case Operation::all_to_all:
      break;
  }
  // A block of each rank: what it sends to all, or to this one.
  const std::uint64_t base = spec_.operation == Operation::all_to_all ? own_block : index;
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t position = begin + done;
    const std::uint64_t inside = position % block_;
    const std::uint64_t piece = std::min<std::uint64_t>(count - done, block_ - inside);
    content_->check(static_cast<int>(position / block_), base + inside, position, received + done * size_, piece);
    done += piece;
  }
}

void CollectiveWorkload::check_output(std::uint64_t step) {
  read_pieces(output(step), footprint_.receive, [&](const std::byte* host, std::uint64_t begin, std::uint64_t bytes) {
    check_piece(step, begin / size_, host, bytes / size_);
  });
}

std::uint64_t CollectiveWorkload::digest_of(std::uint64_t step) {
  std::uint64_t result = 0;
  read_pieces(output(step), footprint_.receive, [&](const std::byte* host, std::uint64_t, std::uint64_t bytes) {
    result = digest({host, bytes}, result);
  });
  return result;
}

std::string CollectiveWorkload::changed_input() {
  const std::uint64_t index = first_index(steps_ - 1);
  std::string text;
  const auto compare = [&](const std::byte* host, std::uint64_t begin, std::uint64_t bytes) {
    in_periods(index + begin / size_, bytes / size_, [&](std::uint64_t offset, std::uint64_t at, std::uint64_t piece) {
      const bool same = std::memcmp(host + offset * size_, contributions_.data() + at * size_, piece * size_) == 0;
      if (same || !text.empty()) return;
      text = fmt::format("what this rank sends was changed, at or behind element {}", begin / size_ + offset);
    });
  };
  read_pieces(static_cast<const std::byte*>(send_), footprint_.send, compare);
  return text;
}

std::string CollectiveWorkload::reproducibility(std::uint64_t first_digest) {
  const std::uint64_t last = steps_ - 1;
  std::vector<std::uint64_t> mine{first_digest};
  while (mine.size() < repetitions) {
    if (spec_.in_place) write_contribution(static_cast<std::byte*>(receive_), first_index(last), spec_.count);
    step();
    mine.push_back(digest_of(last));
  }
  std::vector<std::uint64_t> all(mine.size() * static_cast<std::size_t>(collective_.size()));
  // As f64, whose eight bytes are only moved.
  auto* const sent = digests_->as<std::byte>();
  std::byte* const gathered = sent + mine.size() * sizeof(std::uint64_t);
  device_.copy_to_device(sent, mine.data(), mine.size() * sizeof(std::uint64_t));
  collective_.all_gather(sent, gathered, mine.size(), DataType::f64);
  device_.copy_to_host(all.data(), gathered, all.size() * sizeof(std::uint64_t));

  const auto distinct = std::set<std::uint64_t>(all.begin(), all.end()).size();
  if (distinct == 1) {
    return fmt::format("bitwise reproducible: {} sums of one input, the same bits on {} ranks", repetitions,
                       collective_.size());
  }
  std::size_t repeats = 0;
  for (std::size_t at = 0; at < all.size(); at += mine.size()) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(at);
    repeats = std::max(repeats, std::set<std::uint64_t>(begin, begin + repetitions).size());
  }
  return fmt::format(
      "not bitwise reproducible: {} different results of {} sums of one input on {} ranks (up to {} on "
      "one rank)",
      distinct, repetitions, collective_.size(), repeats);
}

Verification CollectiveWorkload::verify() {
  Verification result;
  if (steps_ == 0) {
    result.detail = "no step was run";
    return result;
  }
  if (receives()) {
    for (std::uint64_t step = steps_ - std::min(steps_, plan_.kept); step < steps_; ++step) check_output(step);
    result.digest = digest_of(steps_ - 1);
  }
  result.digest_is_shared = results_are_shared();
  result.error = content_->error();
  result.detail = content_->report();
  const std::string changed = spec_.in_place ? "" : changed_input();
  if (!changed.empty()) {
    result.error = std::numeric_limits<double>::infinity();
    if (result.detail.empty()) result.detail = changed;
  }
  result.outcome = judge(result.error);
  if (spec_.inputs == Inputs::normals) {
    const std::string bits = reproducibility(result.digest);
    if (result.detail.empty()) result.detail = bits;
  }
  return result;
}

}  // namespace rackproof::allreduce

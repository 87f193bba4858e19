#include "common/backends/host/memory.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/units.hpp"

namespace rackproof::host {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20U;
constexpr std::size_t line = 64;

std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

void HostBuffer::Free::operator()(void* block) const noexcept { std::free(block); }

HostBuffer::HostBuffer(std::size_t bytes, AllocatedBytes allocated, std::size_t room)
    : bytes_(bytes), allocated_(std::move(allocated)) {
  const std::size_t alignment = bytes >= 2 * huge_page ? huge_page : line;
  // A length below SIZE_MAX - alignment, so that rounding up cannot wrap to a small block.
  const bool too_large = bytes > SIZE_MAX - alignment;
  void* block = too_large ? nullptr : std::aligned_alloc(alignment, round_up(bytes == 0 ? line : bytes, alignment));
  if (block == nullptr) {
    throw infrastructure_error(fmt::format("{} of memory were asked for, {} are available to this rank",
                                           format_bytes(static_cast<double>(bytes)),
                                           format_bytes(static_cast<double>(room))));
  }
  data_.reset(block);
  allocated_->fetch_add(bytes_);
  // Best effort: without huge pages it is slower, not wrong.
  if (alignment == huge_page) madvise(block, round_up(bytes, alignment), MADV_HUGEPAGE);
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const auto pages = static_cast<std::int64_t>((bytes + page - 1) / page);
  auto* memory = static_cast<volatile char*>(block);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < pages; ++i) memory[static_cast<std::size_t>(i) * page] = 0;
}

HostBuffer::~HostBuffer() { allocated_->fetch_sub(bytes_); }

}  // namespace rackproof::host

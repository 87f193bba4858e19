#include "common/backends/nccl/choices.hpp"

#include <fmt/format.h>
#include <nccl.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <string_view>

namespace rackproof::nccl {
namespace {

/// What the fourth version of the interface fixes (NCCL 2.27 on, src/include/plugin/profiler/profiler_v4.h): events of
/// collectives have bit 1, and their descriptor this layout.
constexpr int collective_event = 1 << 1;

struct EventDescriptor {
  std::uint8_t type;
  void* parent;
  int rank;
  struct {
    std::uint64_t sequence_number;
    const char* function;
    const void* send;
    void* receive;
    std::size_t count;
    int root;
    const char* data_type;
    std::uint8_t channels;
    std::uint8_t warps;
    const char* algorithm;
    const char* protocol;
  } collective;
};

struct Plugin {
  const char* name;
  ncclResult_t (*init)(void** context, int* event_mask, const char* communicator_name, std::uint64_t hash, int nodes,
                       int ranks, int rank, void* logger);
  ncclResult_t (*start_event)(void* context, void** handle, EventDescriptor* descriptor);
  ncclResult_t (*stop_event)(void* handle);
  ncclResult_t (*record_event_state)(void* handle, int state, void* arguments);
  ncclResult_t (*finalise)(void* context);
};

constexpr std::string_view prefix = "rackproof-";

/// Null for a communicator that is not ours, as NCCL makes some of its own.
Choices* choices_of(const char* communicator_name) {
  const std::string_view text = communicator_name == nullptr ? "" : communicator_name;
  if (!text.starts_with(prefix)) return nullptr;
  std::uintptr_t address = 0;
  const char* const begin = text.data() + prefix.size();
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(begin, end, address, 16);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a name is all that NCCL hands over
  return error == std::errc{} && last == end ? reinterpret_cast<Choices*>(address) : nullptr;
}

ncclResult_t init(void** context, int* event_mask, const char* communicator_name, std::uint64_t /*hash*/, int /*nodes*/,
                  int /*ranks*/, int /*rank*/, void* /*logger*/) {
  Choices* const choices = choices_of(communicator_name);
  *context = choices;
  if (choices != nullptr) choices->attach(event_mask);
  return ncclSuccess;
}

ncclResult_t start_event(void* context, void** handle, EventDescriptor* descriptor) {
  if (handle != nullptr) *handle = nullptr;
  if (context == nullptr || descriptor->type != collective_event) return ncclSuccess;
  const auto& told = descriptor->collective;
  static_cast<Choices*>(context)->told(told.algorithm, told.protocol, told.channels);
  return ncclSuccess;
}

ncclResult_t stop_event(void* /*handle*/) { return ncclSuccess; }
ncclResult_t record_event_state(void* /*handle*/, int /*state*/, void* /*arguments*/) { return ncclSuccess; }
ncclResult_t finalise(void* /*context*/) { return ncclSuccess; }

}  // namespace

// What NCCL looks up by name (CMakeLists.txt exports it).
// NOLINTBEGIN(readability-identifier-naming)
extern "C" __attribute__((visibility("default"))) const Plugin ncclProfiler_v4;
extern "C" const Plugin ncclProfiler_v4 = {"rackproof", init, start_event, stop_event, record_event_state, finalise};
// NOLINTEND(readability-identifier-naming)

Choices::Choices() : name_(fmt::format("{}{:x}", prefix, reinterpret_cast<std::uintptr_t>(this))) {}

void Choices::offer_plugin() {
  constexpr int keep = 0;
  ::setenv("NCCL_PROFILER_PLUGIN", "STATIC_PLUGIN", keep);
}

void Choices::attach(int* event_mask) noexcept {
  event_mask_ = event_mask;
  __atomic_store_n(event_mask, 0, __ATOMIC_RELAXED);
}

void Choices::ask() noexcept {
  algorithm_ = nullptr;
  protocol_ = nullptr;
  if (int* const mask = event_mask_) __atomic_store_n(mask, collective_event, __ATOMIC_RELAXED);
}

void Choices::told(const char* algorithm, const char* protocol, unsigned channels) noexcept {
  channels_ = channels;
  protocol_ = protocol;
  algorithm_ = algorithm;
  if (int* const mask = event_mask_) __atomic_store_n(mask, 0, __ATOMIC_RELAXED);
}

std::string Choices::text() const {
  const char* const algorithm = algorithm_;
  const char* const protocol = protocol_;
  if (algorithm == nullptr || protocol == nullptr) return "algorithm unknown";
  return fmt::format("algorithm {}, protocol {}, {} channels", algorithm, protocol, channels_.load());
}

}  // namespace rackproof::nccl

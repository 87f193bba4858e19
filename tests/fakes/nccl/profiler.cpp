#include "tests/fakes/nccl/profiler.hpp"

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>

namespace rackproof::fake_nccl {

/// ncclProfilerEventDescr_v4_t with the member that describes a collective.
struct ProfilerEvent {
  std::uint8_t type;
  void* parent;
  int rank;
  struct {
    std::uint64_t number;
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

/// ncclProfiler_v4_t.
struct ProfilerPlugin {
  const char* name;
  ncclResult_t (*init)(void** context, int* event_mask, const char* communicator_name, std::uint64_t hash, int nodes,
                       int ranks, int rank, void* logger);
  ncclResult_t (*start_event)(void* context, void** handle, ProfilerEvent* event);
  ncclResult_t (*stop_event)(void* handle);
  ncclResult_t (*record_event_state)(void* handle, int state, void* arguments);
  ncclResult_t (*finalize)(void* context);
};

namespace {

constexpr int collective_events = 1 << 1;  // ncclProfileColl

/// One for all communicators of the process, as in NCCL; the plug-in sets it, at any time.
int& event_mask() {
  static int mask = 0;
  return mask;
}

const ProfilerPlugin* find_plugin() {
  const char* wanted = std::getenv("NCCL_PROFILER_PLUGIN");
  if (wanted == nullptr || std::string(wanted) != "STATIC_PLUGIN") return nullptr;
  return static_cast<const ProfilerPlugin*>(dlsym(RTLD_DEFAULT, "ncclProfiler_v4"));
}

}  // namespace

Profiler::Profiler(const std::string& communicator_name, int ranks, int rank) : plugin_(find_plugin()), rank_(rank) {
  if (plugin_ == nullptr) return;
  const char* name = communicator_name.empty() ? nullptr : communicator_name.c_str();
  if (plugin_->init(&context_, &event_mask(), name, 0, 1, ranks, rank, nullptr) != ncclSuccess) plugin_ = nullptr;
}

Profiler::~Profiler() {
  if (plugin_ != nullptr) (void)plugin_->finalize(context_);
}

void Profiler::collective(const char* function, std::size_t count, const char* data_type, const Tuning& tuning) {
  if (plugin_ == nullptr || (__atomic_load_n(&event_mask(), __ATOMIC_RELAXED) & collective_events) == 0) return;
  ProfilerEvent event{};
  event.type = collective_events;
  event.rank = rank_;
  event.collective.number = number_++;
  event.collective.function = function;
  event.collective.count = count;
  event.collective.data_type = data_type;
  event.collective.channels = static_cast<std::uint8_t>(tuning.channels);
  event.collective.warps = 16;
  event.collective.algorithm = tuning.algorithm;
  event.collective.protocol = tuning.protocol;
  void* handle = nullptr;
  if (plugin_->start_event(context_, &handle, &event) == ncclSuccess && handle != nullptr) {
    (void)plugin_->stop_event(handle);
  }
}

}  // namespace rackproof::fake_nccl

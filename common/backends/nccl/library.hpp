// NCCL's functions, loaded at run time: a run on the host does not pay for them.
#pragma once

#include <nccl.h>

#include <memory>
#include <string>

#include "common/core/error.hpp"

namespace rackproof::nccl {

static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 18, 1), "NCCL 2.18 or later is needed");

/// What libnccl.so.2 offers. Members behind the blank line may be null: a library older than the header lacks them.
struct Library {
  /// Throws Error (usage) where there is no such library, or one that is too old.
  Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() = default;  // stays loaded: NCCL leaves threads behind

  decltype(&::ncclGetVersion) get_version = nullptr;
  decltype(&::ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&::ncclGetErrorString) get_error_string = nullptr;
  decltype(&::ncclGetLastError) get_last_error = nullptr;
  decltype(&::ncclCommInitRankConfig) comm_init_rank_config = nullptr;
  decltype(&::ncclCommDestroy) comm_destroy = nullptr;
  decltype(&::ncclCommAbort) comm_abort = nullptr;
  decltype(&::ncclCommGetAsyncError) comm_get_async_error = nullptr;
  decltype(&::ncclAllReduce) all_reduce = nullptr;
  decltype(&::ncclReduce) reduce = nullptr;
  decltype(&::ncclReduceScatter) reduce_scatter = nullptr;
  decltype(&::ncclAllGather) all_gather = nullptr;
  decltype(&::ncclBroadcast) broadcast = nullptr;
  decltype(&::ncclSend) send = nullptr;
  decltype(&::ncclRecv) receive = nullptr;
  decltype(&::ncclGroupStart) group_start = nullptr;
  decltype(&::ncclGroupEnd) group_end = nullptr;

  decltype(&::ncclCommSplit) comm_split = nullptr;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
  decltype(&::ncclMemAlloc) memory_allocate = nullptr;
  decltype(&::ncclMemFree) memory_free = nullptr;
  decltype(&::ncclCommRegister) comm_register = nullptr;
  decltype(&::ncclCommDeregister) comm_deregister = nullptr;
#endif

  /// User buffers can be made and registered.
  [[nodiscard]] bool can_register() const noexcept {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
    return memory_allocate != nullptr && memory_free != nullptr && comm_register != nullptr &&
           comm_deregister != nullptr;
#else
    return false;
#endif
  }
  /// As NCCL_VERSION_CODE, of the library and not of the header.
  [[nodiscard]] int version() const noexcept { return version_; }
  /// "NCCL 2.28.9"
  [[nodiscard]] std::string name() const;

 private:
  int version_ = 0;
};

/// Throws Error (infrastructure; usage where the call was wrong) for anything but ncclSuccess, with NCCL's own words of
/// what went wrong.
void check(const Library& library, ncclResult_t code, const char* call, const Place& place);

}  // namespace rackproof::nccl

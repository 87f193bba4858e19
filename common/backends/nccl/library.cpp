#include "common/backends/nccl/library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include "common/backends/nccl/choices.hpp"

namespace rackproof::nccl {
namespace {

constexpr const char* file_name = "libnccl.so.2";
constexpr int oldest_version = NCCL_VERSION(2, 18, 1);

template <typename Function>
void find(void* library, const char* symbol, Function& into) {
  into = reinterpret_cast<Function>(dlsym(library, symbol));
}

template <typename Function>
void require(void* library, const char* symbol, Function& into) {
  find(library, symbol, into);
  if (into == nullptr) {
    throw usage_error(
        fmt::format("{} has no {}: install NCCL 2.18 or later, or name another backend with "
                    "--collective-backends",
                    file_name, symbol));
  }
}

/// 2.28.9 of 22809, and 2.8.3 of 2803 as NCCL counted before 2.9.
std::string version_text(int code) {
  const int unit = code < 10000 ? 1000 : 10000;
  return fmt::format("{}.{}.{}", code / unit, code % unit / 100, code % 100);
}

}  // namespace

Library::Library() {
  Choices::offer_plugin();
  void* const library = dlopen(file_name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const reason = dlerror();
    throw usage_error(
        fmt::format("{} cannot be loaded ({}): install NCCL 2.18 or later, put its folder on LD_LIBRARY_PATH, or run "
                    "with --collective-backends mpi",
                    file_name, reason == nullptr ? "no reason given" : printable(reason)));
  }
  require(library, "ncclGetVersion", get_version);
  if (get_version(&version_) != ncclSuccess || version_ < oldest_version) {
    throw usage_error(fmt::format("{} is NCCL {}: 2.18 or later is needed", file_name, version_text(version_)));
  }
  require(library, "ncclGetUniqueId", get_unique_id);
  require(library, "ncclGetErrorString", get_error_string);
  require(library, "ncclGetLastError", get_last_error);
  require(library, "ncclCommInitRankConfig", comm_init_rank_config);
  require(library, "ncclCommDestroy", comm_destroy);
  require(library, "ncclCommAbort", comm_abort);
  require(library, "ncclCommGetAsyncError", comm_get_async_error);
  require(library, "ncclAllReduce", all_reduce);
  require(library, "ncclReduce", reduce);
  require(library, "ncclReduceScatter", reduce_scatter);
  require(library, "ncclAllGather", all_gather);
  require(library, "ncclBroadcast", broadcast);
  require(library, "ncclSend", send);
  require(library, "ncclRecv", receive);
  require(library, "ncclGroupStart", group_start);
  require(library, "ncclGroupEnd", group_end);
  find(library, "ncclCommSplit", comm_split);
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
  find(library, "ncclMemAlloc", memory_allocate);
  find(library, "ncclMemFree", memory_free);
  find(library, "ncclCommRegister", comm_register);
  find(library, "ncclCommDeregister", comm_deregister);
#endif
}

std::string Library::name() const { return "NCCL " + version_text(version_); }

void check(const Library& library, ncclResult_t code, const char* call, const Place& place) {
  if (code == ncclSuccess) return;
  const char* const detail = library.get_last_error(nullptr);
  std::string what = fmt::format("NCCL: {}", library.get_error_string(code));
  if (detail != nullptr && *detail != '\0') what += fmt::format(" ({})", printable(detail, 300));
  switch (code) {
    case ncclRemoteError:
      what += "; another rank or its network failed: look for its message, then at its node";
      break;
    case ncclSystemError:
      what += "; look at the node's network interfaces and limits (NCCL_DEBUG=WARN says more)";
      break;
    case ncclInvalidUsage:
      what += "; often two ranks share a GPU, or the ranks have different versions of NCCL (NCCL_DEBUG=WARN says more)";
      break;
    default:
      what += "; NCCL_DEBUG=WARN says more";
      break;
  }
  const bool usage = code == ncclInvalidUsage;
  throw Error(usage ? ExitCode::usage : ExitCode::infrastructure, "nccl", static_cast<int>(code), call, what, place);
}

}  // namespace rackproof::nccl

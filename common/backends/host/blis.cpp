#include "common/backends/host/blis.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include "common/core/error.hpp"

namespace rackproof::host {
namespace {

template <typename Function>
void find_in_blis(void* library, const char* name, Function& function) {
  void* address = dlsym(library, name);
  if (address == nullptr) {
    throw infrastructure_error(fmt::format("the BLIS that was loaded lacks {}; is it another library?", name));
  }
  function = reinterpret_cast<Function>(address);
}

}  // namespace

void Blis::Close::operator()(void* library) const noexcept { dlclose(library); }

// Global, so that the inventory of loaded libraries can ask it for its version.
Blis::Blis() : library_(dlopen("libblis.so.4", RTLD_NOW | RTLD_GLOBAL)) {
#ifdef RACKPROOF_BLIS_LIBRARY
  if (!library_) library_.reset(dlopen(RACKPROOF_BLIS_LIBRARY, RTLD_NOW | RTLD_GLOBAL));
#endif
  if (!library_) {
    const char* why = dlerror();
    throw infrastructure_error(fmt::format("BLIS cannot be loaded: {}; install libblis4-openmp",
                                           printable(why != nullptr ? why : "not found")));
  }
  find_in_blis(library_.get(), "cblas_dgemm", dgemm_);
  find_in_blis(library_.get(), "bli_thread_set_num_threads", set_num_threads_);
  // arch_t is an enumeration.
  int (*kind)() = nullptr;
  const char* (*name_of)(int) = nullptr;
  const char* (*version)() = nullptr;
  find_in_blis(library_.get(), "bli_arch_query_id", kind);
  find_in_blis(library_.get(), "bli_arch_string", name_of);
  find_in_blis(library_.get(), "bli_info_get_version_str", version);
  description_ = printable(fmt::format("BLIS {} {}", version(), name_of(kind())));
}

}  // namespace rackproof::host

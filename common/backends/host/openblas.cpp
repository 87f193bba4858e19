#include "common/backends/host/openblas.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <sstream>
#include <string_view>

#include "common/backends/host/isa.hpp"
#include "common/core/error.hpp"

namespace rackproof::host {
namespace {

constexpr const char* core_variable = "OPENBLAS_CORETYPE";

int vector_bits_of(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return 512;
    case Isa::avx2:
      return 256;
    case Isa::baseline:
      break;
  }
  return 128;
}

template <typename Function>
void find(void* library, const char* name, Function& function) {
  void* address = dlsym(library, name);
  if (address == nullptr) {
    throw infrastructure_error(fmt::format("the OpenBLAS that was loaded lacks {}; is it another BLAS?", name));
  }
  function = reinterpret_cast<Function>(address);
}

}  // namespace

std::string better_openblas_core(const std::string& chosen, int vector_bits) {
  // Kernels of x86-64 from before AVX2, by the names of OpenBLAS's TargetList.
  constexpr std::array<std::string_view, 15> old{"Unknown",  "Katmai",      "Coppermine", "Northwood",  "Banias",
                                                 "Prescott", "Core2",       "Penryn",     "Dunnington", "Nehalem",
                                                 "Atom",     "Sandybridge", "Athlon",     "Opteron",    "Barcelona"};
  for (const std::string_view core : old) {
    if (chosen == core && vector_bits >= 256) return vector_bits >= 512 ? "SkylakeX" : "Haswell";
  }
  return "";
}

void OpenBlas::Close::operator()(void* library) const noexcept { dlclose(library); }

OpenBlas::Library OpenBlas::load() {
  // Global, so that the inventory of loaded libraries can ask it for its version.
  Library library(dlopen("libopenblas.so.0", RTLD_NOW | RTLD_GLOBAL));
  if (!library) library.reset(dlopen(RACKPROOF_OPENBLAS, RTLD_NOW | RTLD_GLOBAL));
  if (!library) {
    const char* why = dlerror();
    throw infrastructure_error(fmt::format("OpenBLAS cannot be loaded: {}; install libopenblas0",
                                           printable(why != nullptr ? why : "not found")));
  }
  return library;
}

void OpenBlas::find_functions() {
  find(library_.get(), "cblas_dgemm", dgemm_);
  find(library_.get(), "openblas_set_num_threads", set_num_threads_);
  find(library_.get(), "openblas_get_config", get_config_);
  find(library_.get(), "openblas_get_corename", get_corename_);
}

OpenBlas::OpenBlas() : library_(load()) {
  find_functions();
  std::string changed;
  const std::string own_choice = get_corename_();
  const std::string better = better_openblas_core(own_choice, vector_bits_of(best_isa()));
  if (!better.empty() && std::getenv(core_variable) == nullptr) {
    library_.reset();
    setenv(core_variable, better.c_str(), 1);
    library_ = load();
    find_functions();
    // So that the environment stays what the user made it.
    unsetenv(core_variable);
    if (own_choice != get_corename_()) changed = fmt::format(" (not its own choice: {})", own_choice);
  }
  // The configuration begins with the name and the version.
  std::istringstream configuration(get_config_());
  std::string library;
  std::string version;
  configuration >> library >> version;
  description_ = printable(fmt::format("{} {} {}{}", library, version, get_corename_(), changed));
}

}  // namespace rackproof::host

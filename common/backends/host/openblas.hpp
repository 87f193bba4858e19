// OpenBLAS, loaded when the device is opened rather than with the program.
//
// Why: a build with DYNAMIC_ARCH chooses its kernels as it is loaded, from the CPU's model number, and one that is
// older than the CPU falls back to kernels from before AVX: 0.3.21 takes an Emerald Rapids for a "Prescott" and
// multiplies f64 at a quarter of the speed. Such a choice is seen here and made anew, which is only possible by loading
// it again with OPENBLAS_CORETYPE set. What the user set in OPENBLAS_CORETYPE is left alone.
#pragma once

#include <cblas.h>

#include <memory>
#include <string>

namespace rackproof::host {

class OpenBlas {
 public:
  /// Throws Error (infrastructure) where the library cannot be loaded.
  OpenBlas();
  OpenBlas(const OpenBlas&) = delete;
  OpenBlas& operator=(const OpenBlas&) = delete;

  void set_threads(int threads) const { set_num_threads_(threads); }
  /// "OpenBLAS 0.3.21 SkylakeX", and " (not its own choice: Prescott)" where that was changed.
  [[nodiscard]] const std::string& description() const { return description_; }
  /// "SkylakeX"
  [[nodiscard]] std::string core() const { return get_corename_(); }
  [[nodiscard]] decltype(&cblas_dgemm) dgemm() const { return dgemm_; }

 private:
  struct Close {
    void operator()(void* library) const noexcept;
  };
  using Library = std::unique_ptr<void, Close>;
  static Library load();
  void find_functions();

  Library library_;
  decltype(&cblas_dgemm) dgemm_ = nullptr;
  decltype(&openblas_set_num_threads) set_num_threads_ = nullptr;
  decltype(&openblas_get_config) get_config_ = nullptr;
  decltype(&openblas_get_corename) get_corename_ = nullptr;
  std::string description_;
};

/// The kernels to ask for in place of `chosen`, on a CPU whose vectors have `vector_bits`; empty where `chosen` does
/// not waste it.
[[nodiscard]] std::string better_openblas_core(const std::string& chosen, int vector_bits);

}  // namespace rackproof::host

// BLIS, loaded when the device is opened, as OpenBLAS is: built in place of it with -DRACKPROOF_BLAS=blis.
#pragma once

#include <cblas.h>

#include <memory>
#include <string>

namespace rackproof::host {

class Blis {
 public:
  /// Throws Error (infrastructure) where the library cannot be loaded.
  Blis();
  Blis(const Blis&) = delete;
  Blis& operator=(const Blis&) = delete;

  void set_threads(int threads) const { set_num_threads_(threads); }
  /// "BLIS 0.9.0 skx"
  [[nodiscard]] const std::string& description() const { return description_; }
  /// The interface is the same as OpenBLAS's: int is an int in both.
  [[nodiscard]] decltype(&cblas_dgemm) dgemm() const { return dgemm_; }

 private:
  struct Close {
    void operator()(void* library) const noexcept;
  };
  std::unique_ptr<void, Close> library_;
  decltype(&cblas_dgemm) dgemm_ = nullptr;
  void (*set_num_threads_)(long) = nullptr;  ///< bli_thread_set_num_threads(dim_t), a 64-bit integer
  std::string description_;
};

}  // namespace rackproof::host

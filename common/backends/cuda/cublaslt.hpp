// cuBLASLt: loaded when a product is first asked for.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

#include "common/backends/device.hpp"

namespace rackproof::cuda {

class CudaDevice;

/// What is called of the library.
struct CublasLtFunctions {
  decltype(&::cublasLtCreate) create = nullptr;
  decltype(&::cublasLtDestroy) destroy = nullptr;
  decltype(&::cublasLtGetVersion) get_version = nullptr;
  decltype(&::cublasLtGetStatusString) get_status_string = nullptr;
  decltype(&::cublasLtMatmul) matmul = nullptr;
  decltype(&::cublasLtMatmulDescCreate) matmul_desc_create = nullptr;
  decltype(&::cublasLtMatmulDescDestroy) matmul_desc_destroy = nullptr;
  decltype(&::cublasLtMatmulDescSetAttribute) matmul_desc_set_attribute = nullptr;
  decltype(&::cublasLtMatrixLayoutCreate) matrix_layout_create = nullptr;
  decltype(&::cublasLtMatrixLayoutDestroy) matrix_layout_destroy = nullptr;
  decltype(&::cublasLtMatmulPreferenceCreate) matmul_preference_create = nullptr;
  decltype(&::cublasLtMatmulPreferenceDestroy) matmul_preference_destroy = nullptr;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) matmul_preference_set_attribute = nullptr;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) matmul_algo_get_heuristic = nullptr;
  decltype(&::cublasLtMatmulAlgoConfigGetAttribute) matmul_algo_config_get_attribute = nullptr;
};

/// Calls the function that destroys what a handle stands for.
template <typename Handle>
struct DestroyBy {
  cublasStatus_t (*destroy)(Handle) = nullptr;
  void operator()(Handle handle) const noexcept { (void)destroy(handle); }
};
template <typename Handle>
using CublasLtHandle = std::unique_ptr<std::remove_pointer_t<Handle>, DestroyBy<Handle>>;

using MatmulDesc = CublasLtHandle<cublasLtMatmulDesc_t>;
using MatrixLayout = CublasLtHandle<cublasLtMatrixLayout_t>;
using MatmulPreference = CublasLtHandle<cublasLtMatmulPreference_t>;

/// The library, a handle of the current device, and the workspace that all products on one stream share.
class CublasLt {
 public:
  /// `device` outlives this. Throws Error (usage) where the library of this build's major version cannot be loaded, and
  /// says what to install.
  explicit CublasLt(CudaDevice& device);
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;
  ~CublasLt();

  [[nodiscard]] const CublasLtFunctions& call() const { return functions_; }
  [[nodiscard]] cublasLtHandle_t handle() const { return handle_; }
  [[nodiscard]] void* workspace() const { return workspace_->data(); }
  [[nodiscard]] std::size_t workspace_bytes() const { return workspace_->bytes(); }
  /// "cuBLASLt 13.1.0", of the library that was loaded.
  [[nodiscard]] std::string version() const;
  /// Throws Error for anything but success: what is wrong with the GPU, where it tells; else the library's words, as
  /// infrastructure, or usage where the library does not know the GPU, or internal where it was called wrongly.
  void check(cublasStatus_t status, const char* call) const;

  [[nodiscard]] MatmulDesc make_matmul_desc(cublasComputeType_t compute, cudaDataType_t scale) const;
  /// Throws Error for an attribute that the library does not know.
  template <typename T>
  void set(const MatmulDesc& desc, cublasLtMatmulDescAttributes_t attribute, const T& value) const {
    check(functions_.matmul_desc_set_attribute(desc.get(), attribute, &value, sizeof(value)),
          "cublasLtMatmulDescSetAttribute");
  }
  /// Column-major.
  [[nodiscard]] MatrixLayout make_matrix_layout(cudaDataType_t type, std::int64_t rows, std::int64_t columns,
                                                std::int64_t leading) const;
  [[nodiscard]] MatmulPreference make_preference() const;

 private:
  CudaDevice& device_;
  CublasLtFunctions functions_;
  std::unique_ptr<Buffer> workspace_;
  cublasLtHandle_t handle_ = nullptr;
};

}  // namespace rackproof::cuda

#include "common/backends/cuda/cublaslt.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "common/backends/cuda/cuda_device.hpp"
#include "common/core/error.hpp"

namespace rackproof::cuda {
namespace {

/// NVIDIA's recommendation for Hopper and Blackwell (cuBLAS documentation, cublasSetWorkspace); others need less.
constexpr std::size_t recommended_workspace = std::size_t{32} << 20U;

/// The library stays loaded: it registers clean-up at exit.
void* load_library() {
  const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();  // NOLINT(concurrency-mt-unsafe): glibc keeps it for each thread
    throw usage_error(
        fmt::format("{} cannot be loaded ({}): install cuBLAS of CUDA {}, or put its folder on "
                    "LD_LIBRARY_PATH",
                    name, printable(why == nullptr ? "" : why), CUBLAS_VER_MAJOR));
  }
  return library;
}

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) {
    throw usage_error(
        fmt::format("libcublasLt.so.{} has no {}: another library of that name comes first; see "
                    "LD_LIBRARY_PATH",
                    CUBLAS_VER_MAJOR, name));
  }
}

CublasLtFunctions load_functions() {
  void* const library = load_library();
  CublasLtFunctions all;
  find(library, "cublasLtCreate", all.create);
  find(library, "cublasLtDestroy", all.destroy);
  find(library, "cublasLtGetVersion", all.get_version);
  find(library, "cublasLtGetStatusString", all.get_status_string);
  find(library, "cublasLtMatmul", all.matmul);
  find(library, "cublasLtMatmulDescCreate", all.matmul_desc_create);
  find(library, "cublasLtMatmulDescDestroy", all.matmul_desc_destroy);
  find(library, "cublasLtMatmulDescSetAttribute", all.matmul_desc_set_attribute);
  find(library, "cublasLtMatrixLayoutCreate", all.matrix_layout_create);
  find(library, "cublasLtMatrixLayoutDestroy", all.matrix_layout_destroy);
  find(library, "cublasLtMatmulPreferenceCreate", all.matmul_preference_create);
  find(library, "cublasLtMatmulPreferenceDestroy", all.matmul_preference_destroy);
  find(library, "cublasLtMatmulPreferenceSetAttribute", all.matmul_preference_set_attribute);
  find(library, "cublasLtMatmulAlgoGetHeuristic", all.matmul_algo_get_heuristic);
  find(library, "cublasLtMatmulAlgoConfigGetAttribute", all.matmul_algo_config_get_attribute);
  return all;
}

struct Meaning {
  ExitCode exit_code;
  const char* remedy;
};

Meaning meaning_of(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_INVALID_VALUE:
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return {ExitCode::internal, "a defect of rackproof; please report it"};
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return {ExitCode::usage, "this cuBLAS does not know the GPU; install one that does, or run with --device host"};
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return {ExitCode::infrastructure, "cuBLAS cannot use the GPU; check the driver with nvidia-smi, then run again"};
    case CUBLAS_STATUS_ALLOC_FAILED:
      return {ExitCode::infrastructure, "the GPU's memory is full; stop what else uses it, or choose a smaller case"};
    default:
      return {ExitCode::infrastructure, "see the kernel log of the node for an Xid, then drain it or run again"};
  }
}

}  // namespace

CublasLt::CublasLt(CudaDevice& device)
    : device_(device), functions_(load_functions()), workspace_(device.allocate(recommended_workspace)) {
  check(functions_.create(&handle_), "cublasLtCreate");
}

CublasLt::~CublasLt() {
  // It waits for the GPU, which may never be done; the end of the process frees what is left behind.
  if (!device_.is_usable()) return;
  const cublasStatus_t status = functions_.destroy(handle_);
  if (status == CUBLAS_STATUS_SUCCESS) return;
  try {
    spdlog::warn("cublasLtDestroy: {}", functions_.get_status_string(status));
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is nothing left to tell it to
  }
}

std::string CublasLt::version() const {
  const std::size_t version = functions_.get_version();
  return fmt::format("cuBLASLt {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

void CublasLt::check(cublasStatus_t status, const char* call) const {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  // What broke the GPU says more than what the library makes of it. The library may have asked for the last error
  // already, but a GPU that is broken says so again.
  device_.require(cudaGetLastError(), call);
  const cudaError_t state = cudaStreamQuery(device_.stream());
  if (is_sticky(state)) device_.require(state, call);
  (void)cudaGetLastError();
  const Meaning meaning = meaning_of(status);
  throw Error(meaning.exit_code, "cublasLt", static_cast<int>(status), call,
              fmt::format("{}: {}", functions_.get_status_string(status), meaning.remedy), device_.place());
}

MatmulDesc CublasLt::make_matmul_desc(cublasComputeType_t compute, cudaDataType_t scale) const {
  cublasLtMatmulDesc_t desc = nullptr;
  check(functions_.matmul_desc_create(&desc, compute, scale), "cublasLtMatmulDescCreate");
  return {desc, {functions_.matmul_desc_destroy}};
}

MatrixLayout CublasLt::make_matrix_layout(cudaDataType_t type, std::int64_t rows, std::int64_t columns,
                                          std::int64_t leading) const {
  cublasLtMatrixLayout_t layout = nullptr;
  check(functions_.matrix_layout_create(&layout, type, static_cast<std::uint64_t>(rows),
                                        static_cast<std::uint64_t>(columns), leading),
        "cublasLtMatrixLayoutCreate");
  return {layout, {functions_.matrix_layout_destroy}};
}

MatmulPreference CublasLt::make_preference() const {
  cublasLtMatmulPreference_t preference = nullptr;
  check(functions_.matmul_preference_create(&preference), "cublasLtMatmulPreferenceCreate");
  return {preference, {functions_.matmul_preference_destroy}};
}

}  // namespace rackproof::cuda

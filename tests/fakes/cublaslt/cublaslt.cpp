// The functions of cuBLASLt. Products are done in stream order on the fake GPU's memory.
#include <cblas.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <string>

#include "tests/fakes/common/fake_cuda.hpp"
#include "tests/fakes/common/faults.hpp"
#include "tests/fakes/common/fleet.hpp"
#include "tests/fakes/cublaslt/descriptors.hpp"

namespace rackproof::fake_lt {
namespace {

using fake::Fault;

void fail(const std::string& message) { rackproof_fake_fail(message.c_str()); }

/// An algorithm of the fake: what its id, tile and workspace are, and into how many parts it splits k.
struct Algorithm {
  std::int32_t id;
  std::uint32_t tile;
  std::uint32_t stages;
  std::int32_t splits;
  std::uint32_t reduction;
  std::size_t workspace;
};

constexpr std::array<Algorithm, 3> algorithms{{
    {66, CUBLASLT_MATMUL_TILE_128x128, CUBLASLT_MATMUL_STAGES_64xAUTO, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 0},
    {66, CUBLASLT_MATMUL_TILE_64x128, CUBLASLT_MATMUL_STAGES_64xAUTO, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 4096},
    {21, CUBLASLT_MATMUL_TILE_128x64, CUBLASLT_MATMUL_STAGES_32x3, 2, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE,
     std::size_t{1} << 20U},
}};
constexpr std::uint64_t algorithm_magic = 0x66616b656c743031ULL;

const Algorithm* algorithm_of(const cublasLtMatmulAlgo_t& algo) {
  if (algo.data[0] != algorithm_magic || algo.data[1] >= algorithms.size()) return nullptr;
  return &algorithms[algo.data[1]];
}

/// All of one process.
struct Library {
  std::mutex mutex;
  std::set<const void*> handles;
  std::set<const void*> descriptors;
  std::vector<Fault> flips;  ///< bit_flip, bit_flip_once
  long hang_at = 0;          ///< the product that never ends; 0: none
  std::atomic<long> products{0};

  Library() {
    for (const Fault& fault : fake::own_faults()) {
      if (fault.name == "bit_flip" || fault.name == "bit_flip_once") flips.push_back(fault);
      if (fault.name == "hang" && fault.where == "gemm") hang_at = fault.at;
    }
    // Ranks share the host's cores, and streams have threads of their own.
    openblas_set_num_threads(1);
  }
};

Library& library() {
  static auto* const instance = new Library;
  return *instance;
}

[[gnu::destructor]] void look_for_leaks() {
  Library& all = library();
  const std::unique_lock lock(all.mutex, std::try_to_lock);
  if (!lock.owns_lock() || rackproof_fake_forgives_leaks() != 0) return;
  if (!all.descriptors.empty()) {
    fail(std::to_string(all.descriptors.size()) + " descriptors of cuBLASLt were not destroyed");
  }
  if (!all.handles.empty()) fail(std::to_string(all.handles.size()) + " handles of cuBLASLt were not destroyed");
}

Attributes& attributes_of(const char* call, const void* descriptor) {
  Library& all = library();
  const std::lock_guard lock(all.mutex);
  if (all.descriptors.count(descriptor) == 0) fail(std::string(call) + ": a descriptor was destroyed or never made");
  return *static_cast<Attributes*>(const_cast<void*>(descriptor));
}

template <typename Descriptor>
cublasStatus_t create(Descriptor* made, Attributes attributes) {
  if (made == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  auto* const descriptor = new Attributes(std::move(attributes));
  *made = reinterpret_cast<Descriptor>(descriptor);
  Library& all = library();
  const std::lock_guard lock(all.mutex);
  all.descriptors.insert(descriptor);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t destroy(const char* call, const void* descriptor) {
  Attributes& gone = attributes_of(call, descriptor);
  Library& all = library();
  const std::lock_guard lock(all.mutex);
  all.descriptors.erase(descriptor);
  delete &gone;
  return CUBLAS_STATUS_SUCCESS;
}

bool lives(cublasLtHandle_t handle) {
  Library& all = library();
  const std::lock_guard lock(all.mutex);
  return all.handles.count(handle) == 1;
}

int capability() {
  const fake::Kind kind = fake::own_fleet().kind;
  return kind.major * 10 + kind.minor;
}

Product read(const char* call, cublasLtMatmulDesc_t matmul, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
             cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  return read_product(attributes_of(call, matmul), attributes_of(call, a), attributes_of(call, b),
                      attributes_of(call, c == nullptr ? d : c), attributes_of(call, d));
}

void check_memory(const char* what, const void* pointer, std::size_t bytes) {
  if (rackproof_fake_owns(pointer, bytes) != 0) return;
  fail(std::string("cublasLtMatmul: the ") + std::to_string(bytes) + " bytes of " + what +
       " are not memory of this GPU");
}

std::size_t all_bytes(const Layout& layout) {
  Layout widest = layout;
  widest.columns +=
      layout.batch > 1 ? layout.stride * (layout.batch - 1) / std::max<std::int64_t>(1, layout.leading) : 0;
  return extent_bytes(widest);
}

bool aligned(const void* pointer, std::uintptr_t to) { return reinterpret_cast<std::uintptr_t>(pointer) % to == 0; }

bool is_narrow(const Product& product) {
  return product.a.type != CUDA_R_64F && product.a.type != CUDA_R_32F && product.a.type != CUDA_R_16F &&
         product.a.type != CUDA_R_16BF;
}

/// What a step in the stream needs; the caller's descriptors may be gone by then.
struct Step {
  Product product;
  Operands operands;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
};

/// What is planted for this product: it never ends, or a bit of its result is wrong: a high one of the exponent, or of
/// an integer.
void meet_faults(const Step& step) {
  Library& all = library();
  const long number = ++all.products;
  if (number == all.hang_at) rackproof_fake_hang();
  for (const Fault& fault : all.flips) {
    if (fault.name == "bit_flip_once" ? number != fault.at : number < fault.at) continue;
    const std::size_t element = extent_bytes({step.product.d.type, 1, 1, 1});
    const std::int64_t middle = step.product.d.columns / 2 * step.product.d.leading + step.product.d.rows / 2;
    auto* const bytes = static_cast<unsigned char*>(step.operands.d) + static_cast<std::size_t>(middle) * element;
    bytes[element - 1] ^= 0x10U;
  }
}

/// Of a product on an H100's tensor cores: 5 us to start, and 70 % of 989 TFLOP/s (the data sheet's for bf16, which is
/// all that matters here: every GPU of a run is of one kind and has the same products).
double own_seconds(const Product& product) {
  constexpr double launch = 5e-6;
  constexpr double flops = 0.7 * 989e12;
  return launch + 2.0 * static_cast<double>(product.m()) * static_cast<double>(product.n()) *
                      static_cast<double>(product.k()) / flops;
}

void run(void* argument) {
  const Step& step = *static_cast<const Step*>(argument);
  const auto begin = std::chrono::steady_clock::now();
  // What an algorithm leaves in its workspace is nobody's.
  if (step.workspace_bytes > 0) std::memset(step.workspace, 0xff, step.workspace_bytes);
  multiply(step.product, step.operands);
  meet_faults(step);
  rackproof_fake_takes(own_seconds(step.product));
  rackproof_fake_stretch(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

double scalar(const Product& product, const void* value) {
  switch (product.scale_type) {
    case CUDA_R_64F:
      return *static_cast<const double*>(value);
    case CUDA_R_32I:
      return *static_cast<const std::int32_t*>(value);
    default:
      return *static_cast<const float*>(value);
  }
}

cublasStatus_t take_scalars(const Product& product, const void* alpha, const void* beta, Operands& operands) {
  if (alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (product.pointer_mode == CUBLASLT_POINTER_MODE_HOST) {
    operands.alpha = scalar(product, alpha);
    operands.beta = scalar(product, beta);
    return CUBLAS_STATUS_SUCCESS;
  }
  const std::size_t bytes = product.scale_type == CUDA_R_64F ? 8 : 4;
  check_memory("alpha", alpha, bytes);
  check_memory("beta", beta, bytes);
  operands.alpha_on_gpu = alpha;
  operands.beta_on_gpu = beta;
  return CUBLAS_STATUS_SUCCESS;
}

void check_scales(const Product& product) {
  if (product.scale_a.pointer != nullptr) {
    check_memory("A's scales", product.scale_a.pointer, scale_bytes(product.scale_a.mode, product.m(), product.k()));
  }
  if (product.scale_b.pointer != nullptr) {
    check_memory("B's scales", product.scale_b.pointer, scale_bytes(product.scale_b.mode, product.n(), product.k()));
  }
}

cublasStatus_t check_operands(const Step& step) {
  const Product& product = step.product;
  const Operands& operands = step.operands;
  if (operands.a == nullptr || operands.b == nullptr || operands.d == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const std::uintptr_t alignment = product.a.type == CUDA_R_8I ? 4 : is_narrow(product) ? 16 : 1;
  for (const void* pointer : {operands.a, operands.b, operands.c, static_cast<const void*>(operands.d)}) {
    if (!aligned(pointer, alignment)) return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (!aligned(product.scale_a.pointer, is_narrow(product) ? 16 : 1) ||
      !aligned(product.scale_b.pointer, is_narrow(product) ? 16 : 1)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  check_memory("A", operands.a, all_bytes(product.a));
  check_memory("B", operands.b, all_bytes(product.b));
  check_memory("D", operands.d, all_bytes(product.d));
  if (operands.c != nullptr) check_memory("C", operands.c, all_bytes(product.c));
  if (product.bias != nullptr) check_memory("the bias", product.bias, static_cast<std::size_t>(product.m()));
  check_scales(product);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_workspace(const Algorithm& algorithm, const void* workspace, std::size_t bytes) {
  if (bytes < algorithm.workspace || (algorithm.workspace > 0 && workspace == nullptr)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!aligned(workspace, 256)) return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace != nullptr && bytes > 0) check_memory("the workspace", workspace, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t enqueue(Step step, cudaStream_t stream) {
  const int code = rackproof_fake_enqueue_owned(stream, run, new Step(std::move(step)),
                                                [](void* gone) { delete static_cast<Step*>(gone); });
  return code == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

const char* status_text(cublasStatus_t status, bool name) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return name ? "CUBLAS_STATUS_SUCCESS" : "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return name ? "CUBLAS_STATUS_NOT_INITIALIZED" : "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return name ? "CUBLAS_STATUS_ALLOC_FAILED" : "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
      return name ? "CUBLAS_STATUS_INVALID_VALUE" : "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return name ? "CUBLAS_STATUS_ARCH_MISMATCH"
                  : "the function requires an architectural feature absent from the device";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return name ? "CUBLAS_STATUS_EXECUTION_FAILED" : "the function failed to launch on the GPU";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return name ? "CUBLAS_STATUS_NOT_SUPPORTED" : "the requested functionality is not supported";
    default:
      return name ? "CUBLAS_STATUS_INTERNAL_ERROR" : "an internal operation failed";
  }
}

template <typename T>
cublasStatus_t give(T value, void* to, std::size_t bytes, std::size_t* written) {
  if (bytes != 0 && (to == nullptr || bytes != sizeof value)) return CUBLAS_STATUS_INVALID_VALUE;
  if (bytes == 0 && written == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (bytes != 0) std::memcpy(to, &value, sizeof value);
  if (written != nullptr) *written = sizeof value;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace
}  // namespace rackproof::fake_lt

using namespace rackproof::fake_lt;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) {
    (void)cudaGetLastError();
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  *handle = reinterpret_cast<cublasLtHandle_t>(new char);
  Library& all = library();
  const std::lock_guard lock(all.mutex);
  all.handles.insert(*handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  if (!lives(handle)) fail("cublasLtDestroy: the handle was destroyed or never made");
  rackproof_fake_wait_for_what_hangs();
  Library& all = library();
  const std::lock_guard lock(all.mutex);
  all.handles.erase(handle);
  delete reinterpret_cast<char*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

std::size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
std::size_t cublasLtGetCudartVersion() { return CUDART_VERSION; }
const char* cublasLtGetStatusName(cublasStatus_t status) { return status_text(status, true); }
const char* cublasLtGetStatusString(cublasStatus_t status) { return status_text(status, false); }

cublasStatus_t cublasLtGetProperty(libraryPropertyType type, int* value) {
  if (value == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *value = type == MAJOR_VERSION ? CUBLAS_VER_MAJOR : type == MINOR_VERSION ? CUBLAS_VER_MINOR : CUBLAS_VER_PATCH;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* made, cublasComputeType_t compute, cudaDataType_t scale) {
  return create(made, make_matmul_attributes(compute, scale));
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t gone) {
  return destroy("cublasLtMatmulDescDestroy", gone);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t attribute,
                                              const void* from, std::size_t bytes) {
  return attributes_of("cublasLtMatmulDescSetAttribute", descriptor).set(attribute, from, bytes);
}
cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t attribute,
                                              void* to, std::size_t bytes, std::size_t* written) {
  return attributes_of("cublasLtMatmulDescGetAttribute", descriptor).get(attribute, to, bytes, written);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* made, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t leading) {
  return create(made, make_layout_attributes(type, rows, columns, leading));
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t gone) {
  return destroy("cublasLtMatrixLayoutDestroy", gone);
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t descriptor,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* from,
                                                std::size_t bytes) {
  return attributes_of("cublasLtMatrixLayoutSetAttribute", descriptor).set(attribute, from, bytes);
}
cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t descriptor,
                                                cublasLtMatrixLayoutAttribute_t attribute, void* to, std::size_t bytes,
                                                std::size_t* written) {
  return attributes_of("cublasLtMatrixLayoutGetAttribute", descriptor).get(attribute, to, bytes, written);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* made) {
  return create(made, make_preference_attributes());
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t gone) {
  return destroy("cublasLtMatmulPreferenceDestroy", gone);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t descriptor,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* from,
                                                    std::size_t bytes) {
  return attributes_of("cublasLtMatmulPreferenceSetAttribute", descriptor).set(attribute, from, bytes);
}
cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t descriptor,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, void* to,
                                                    std::size_t bytes, std::size_t* written) {
  return attributes_of("cublasLtMatmulPreferenceGetAttribute", descriptor).get(attribute, to, bytes, written);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t matmul,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  if (count != nullptr) *count = 0;
  if (!lives(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (wanted < 1 || results == nullptr || count == nullptr || preference == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const char* const call = "cublasLtMatmulAlgoGetHeuristic";
  const cublasStatus_t verdict = judge(read(call, matmul, a, b, c, d), capability());
  if (verdict != CUBLAS_STATUS_SUCCESS) return verdict;
  const auto room = attributes_of(call, preference).get<std::uint64_t>(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
  for (std::size_t i = 0; i < algorithms.size() && *count < wanted; ++i) {
    if (algorithms[i].workspace > room) continue;
    cublasLtMatmulHeuristicResult_t& result = results[(*count)++];
    result = {};
    result.algo.data[0] = algorithm_magic;
    result.algo.data[1] = i;
    result.workspaceSize = algorithms[i].workspace;
    result.state = CUBLAS_STATUS_SUCCESS;
    result.wavesCount = 1.0F;
  }
  return *count > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* to,
                                                    std::size_t bytes, std::size_t* written) {
  const Algorithm* algorithm = algo == nullptr ? nullptr : algorithm_of(*algo);
  if (algorithm == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID:
      return give(algorithm->id, to, bytes, written);
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
      return give(algorithm->tile, to, bytes, written);
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
      return give(algorithm->splits, to, bytes, written);
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
      return give(algorithm->reduction, to, bytes, written);
    case CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING:
    case CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION:
      return give(std::uint32_t{0}, to, bytes, written);
    case CUBLASLT_ALGO_CONFIG_STAGES_ID:
      return give(algorithm->stages, to, bytes, written);
    case CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID:
    case CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID:
      return give(std::uint16_t{0}, to, bytes, written);
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t matmul, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  if (!lives(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  Step step;
  step.product = read("cublasLtMatmul", matmul, a_layout, b_layout, c_layout, d_layout);
  step.operands.a = a;
  step.operands.b = b;
  step.operands.c = c;
  step.operands.d = d;
  cublasStatus_t status = judge(step.product, capability());
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  // Without an algorithm the real library asks its heuristic.
  const Algorithm* const algorithm = algo == nullptr ? algorithms.data() : algorithm_of(*algo);
  if (algorithm == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  status = check_workspace(*algorithm, workspace, workspace_bytes);
  if (status == CUBLAS_STATUS_SUCCESS) status = take_scalars(step.product, alpha, beta, step.operands);
  if (status == CUBLAS_STATUS_SUCCESS) status = check_operands(step);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (step.operands.beta != 0.0 && c == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  step.operands.splits = algorithm->splits;
  step.workspace = workspace;
  step.workspace_bytes = algorithm->workspace;
  return enqueue(std::move(step), stream);
}
}

// The descriptors of cuBLASLt: attributes by number, with the sizes that the real library insists on.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <vector>

namespace rackproof::fake_lt {

/// Numbers that a caller may set and read.
class Attributes {
 public:
  template <typename T>
  void put(int attribute, const T& value) {
    auto& bytes = values_[attribute];
    bytes.resize(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
  }
  /// T is as wide as the attribute, which is there.
  template <typename T>
  [[nodiscard]] T get(int attribute) const {
    T value{};
    const auto& bytes = values_.at(attribute);
    std::memcpy(&value, bytes.data(), sizeof value < bytes.size() ? sizeof value : bytes.size());
    return value;
  }
  [[nodiscard]] cublasStatus_t set(int attribute, const void* from, std::size_t bytes) {
    const auto found = values_.find(attribute);
    if (found == values_.end() || from == nullptr || found->second.size() != bytes) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(found->second.data(), from, bytes);
    return CUBLAS_STATUS_SUCCESS;
  }
  [[nodiscard]] cublasStatus_t get(int attribute, void* to, std::size_t bytes, std::size_t* written) const {
    const auto found = values_.find(attribute);
    if (found == values_.end()) return CUBLAS_STATUS_INVALID_VALUE;
    const std::size_t size = found->second.size();
    if (bytes == 0 && written == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    if (bytes != 0 && (to == nullptr || bytes != size)) return CUBLAS_STATUS_INVALID_VALUE;
    if (bytes != 0) std::memcpy(to, found->second.data(), size);
    if (written != nullptr) *written = size;
    return CUBLAS_STATUS_SUCCESS;
  }

 private:
  std::map<int, std::vector<char>> values_;
};

[[nodiscard]] Attributes make_matmul_attributes(cublasComputeType_t compute, cudaDataType_t scale);
[[nodiscard]] Attributes make_layout_attributes(cudaDataType_t type, std::uint64_t rows, std::uint64_t columns,
                                                std::int64_t leading);
[[nodiscard]] Attributes make_preference_attributes();

/// A matrix as it lies in memory, column after column.
struct Layout {
  cudaDataType_t type = CUDA_R_32F;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t leading = 0;
  std::int32_t order = CUBLASLT_ORDER_COL;
  std::int32_t batch = 1;
  std::int64_t stride = 0;
};
[[nodiscard]] Layout read_layout(const Attributes& attributes);

/// The scale factors of an operand.
struct Scale {
  const void* pointer = nullptr;
  std::int32_t mode = 0;  ///< cublasLtMatmulMatrixScale_t
};

/// A product as its descriptors say.
struct Product {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType_t scale_type = CUDA_R_32F;
  std::int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  bool transposed_a = false;
  bool transposed_b = false;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  std::int32_t bias_type = -1;
  Scale scale_a, scale_b;
  Layout a, b, c, d;
  [[nodiscard]] std::int64_t m() const { return transposed_a ? a.columns : a.rows; }
  [[nodiscard]] std::int64_t k() const { return transposed_a ? a.rows : a.columns; }
  [[nodiscard]] std::int64_t n() const { return transposed_b ? b.rows : b.columns; }
  [[nodiscard]] std::int64_t k_of_b() const { return transposed_b ? b.columns : b.rows; }
};
[[nodiscard]] Product read_product(const Attributes& matmul, const Attributes& a, const Attributes& b,
                                   const Attributes& c, const Attributes& d);

/// Why the real library has no algorithm for the product on a chip of that compute capability (90: 9.0); success where
/// it has. Source: cuBLAS documentation, cublasLtMatmul() and "Narrow Precision Data Types Usage".
[[nodiscard]] cublasStatus_t judge(const Product& product, int capability);

/// Bytes from the first to the last element of one matrix of the batch.
[[nodiscard]] std::size_t extent_bytes(const Layout& layout);
/// Bytes of the scale factors of the left or right operand, K x `outer`.
[[nodiscard]] std::size_t scale_bytes(std::int32_t mode, std::int64_t outer, std::int64_t k);

/// Where its numbers lie when a product is run. `splits`: of k, added up one after the other.
struct Operands {
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;
  void* d = nullptr;
  double alpha = 1.0;
  double beta = 0.0;
  const void* alpha_on_gpu = nullptr;
  const void* beta_on_gpu = nullptr;
  int splits = 1;
};
/// Reads and writes memory of the GPU.
void multiply(const Product& product, const Operands& operands);

}  // namespace rackproof::fake_lt

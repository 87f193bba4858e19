// Planned products through cuBLASLt.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <string>
#include <vector>

#include "common/backends/cuda/cublaslt.hpp"
#include "common/backends/cuda/cuda_device.hpp"
#include "common/backends/device.hpp"

namespace rackproof::cuda {

/// Row-major C = A x B is column-major C^T = B^T x A^T: the weights are cuBLASLt's left operand. `packed` weights are
/// K-major, B^T [n,k] row-major: what narrow types need (the "TN" format), and no other order.
class CublasLtMatmul final : public Matmul {
 public:
  /// Asks the library for its algorithms; offers() is 0 where it has none. `device` and `library` outlive this.
  CublasLtMatmul(CudaDevice& device, const CublasLt& library, const MatmulProblem& problem);

  [[nodiscard]] std::size_t weight_bytes() const override;
  void pack(const void* plain, void* packed) override;
  [[nodiscard]] std::size_t input_bytes() const override;
  void pack_input(const Quantised& a, void* packed) override;
  void pack_weights(const Quantised& b, void* packed) override;
  void run(const void* a, const void* weights, void* c) override;
  [[nodiscard]] std::size_t algorithms() const override { return found_.size(); }
  void choose(std::size_t algorithm) override;
  [[nodiscard]] Accumulation accumulation() const override;
  /// "cuBLASLt 13.1.0 algorithm 66, tile 20, stages 36, split-k 1, ..., workspace 0 B": numbers as the library has
  /// them.
  [[nodiscard]] std::string implementation() const override;
  /// Why the library has no algorithm; empty where it has.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

 private:
  void find_algorithms();
  void set_scale_modes();
  void upload(const Quantised& matrix, std::size_t bytes, void* packed);

  CudaDevice& device_;
  const CublasLt& library_;
  MatmulProblem problem_;
  MatmulDesc desc_;
  MatrixLayout weights_;
  MatrixLayout input_;
  MatrixLayout output_;
  std::vector<cublasLtMatmulHeuristicResult_t> found_;
  std::size_t chosen_ = 0;
  std::string refusal_;
  float input_scale_ = 1.0F;   ///< of the whole matrix, nv
  float weight_scale_ = 1.0F;  ///< of the whole matrix, nv
};

}  // namespace rackproof::cuda

#include "common/backends/host/blas_matmul.hpp"

#include <fmt/format.h>

#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof::host {
namespace {

class BlasMatmul final : public Matmul {
 public:
  BlasMatmul(std::shared_ptr<const Blas> library, const MatmulProblem& problem)
      : library_(std::move(library)), problem_(problem) {
    constexpr std::int64_t limit = std::numeric_limits<blasint>::max();
    if (problem.m > limit || problem.n > limit || problem.k > limit) {
      throw usage_error(fmt::format("f64 product with m = {}, n = {}, k = {}: a BLAS takes at most {}", problem.m,
                                    problem.n, problem.k, limit));
    }
  }

  [[nodiscard]] std::size_t weight_bytes() const override {
    return static_cast<std::size_t>(problem_.k * problem_.n) * sizeof(double);
  }

  void pack(const void* plain, void* packed) override { std::memcpy(packed, plain, weight_bytes()); }

  void run(const void* a, const void* weights, void* c) override {
    const auto m = static_cast<blasint>(problem_.m);
    const auto n = static_cast<blasint>(problem_.n);
    const auto k = static_cast<blasint>(problem_.k);
    const bool transposed = problem_.transposed_weights;
    library_->dgemm()(CblasRowMajor, CblasNoTrans, transposed ? CblasTrans : CblasNoTrans, m, n, k, 1.0,
                      static_cast<const double*>(a), k, static_cast<const double*>(weights), transposed ? k : n, 0.0,
                      static_cast<double*>(c), n);
  }

  [[nodiscard]] std::string implementation() const override { return library_->description(); }

 private:
  std::shared_ptr<const Blas> library_;
  MatmulProblem problem_;
};

}  // namespace

std::unique_ptr<Matmul> make_blas_matmul(std::shared_ptr<const Blas> library, const MatmulProblem& problem) {
  return std::make_unique<BlasMatmul>(std::move(library), problem);
}

}  // namespace rackproof::host

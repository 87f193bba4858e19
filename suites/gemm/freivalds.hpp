// Freivalds' check of a matrix product: is C = A x B, in O(n^2) instead of O(n^3)?
// (R. Freivalds, Probabilistic machines can use less running time, IFIP Congress 1977.)
//
// For a random vector x of +1 and -1, C x and A (B x) are computed in f64 and compared row by row:
//   r_i = sum_j (c_ij - (A B)_ij) x_j = sum_j d_ij x_j,  d_ij the error of one element.
// A single wrong element shows as |r_i| = |d_ij| whatever x is; several in one row cancel with a probability of at most
// one half for each x, and there are three of them.
//
// Tolerance. u is the unit roundoff of the accumulation, 2^-24 for f32 and 2^-53 for f64. Rounding after term l of an
// element's sum errs by at most u |s_l|, s_l the sum so far. The inputs are independent with mean 0, so that s_l has
// the variance l s_a^2 s_b^2, and the k errors, which rounding to nearest makes independent, add up to a standard
// deviation of at most u s_a s_b sqrt(sum l) = u s_a s_b k / sqrt 2 < u |a_i| |b_j|, with the 2-norms of row i of A
// and column j of B. (Any other order of summation has smaller partial sums. For probabilistic bounds in general:
// Higham and Mary, A new approach to probabilistic rounding error analysis, SIAM J. Sci. Comput. 41(5), 2019.)
// The signs of x are independent of the d_ij, so by Hoeffding |r_i| exceeds t times the root of sum_j d_ij^2 with a
// probability below 2 exp(-t^2 / 2); with t = 6, 3e-8:
//   |r_i| <= 6 |a_i| |B|_F (u + own) + 6 u_out |c_i|
// where u_out |c_i| is there only if the output is stored in fewer bits than it was accumulated in (bf16: 2^-9), and
// own = 2^-53 (1 + 2 sqrt(columns / k)) is the rounding of this check, by the same argument.
// Rounding is uniform in [-u, u] rather than always u, so sound products reach about a tenth of the tolerance.
//
// Units that truncate (Accumulation::unit = t > 0, as GPUs' matrix units do). A step adds L products to the sum; all
// are aligned to the largest of them, truncated to a unit t of it, added, and the sum is truncated again. With the
// variance of the sum as above:
//   the sum's own loss is at most t |s_l| and always towards zero: k / L steps add up to a drift whose root mean square
//     is t s_a s_b sqrt(3/8) k^1.5 / L x m, where m, the mean loss by the size of a sum, is 0.36 (uniform in [0, t
//     2^e), 2^e <= |s| < 2^(e+1)): 0.22 t |a_i| |b_j| sqrt k / L;
//   a product's loss has the product's random sign: t / sqrt 3 of 2^e, over k products 0.3 t |a_i| |b_j|;
//   where the sum is still smaller than the largest product, that one counts: it is at most 14 s_a s_b, on average over
//     32 normals about 4: 2.3 t |a_i| |b_j| / sqrt k.
// Allowed is about twice that: in place of u there is
//   u(k) = t (0.5 + 0.5 sqrt k / L + 3 / sqrt k).
// Where the sum starts anew after p < k products and the parts, whose errors are independent, are added in f32, it is
//   u(k) = t (0.5 + 0.5 sqrt p / L + 3 / sqrt p) sqrt(p / k) + 2^-24.
// Scales and their products are rounded to f32 once an element: below 2^-24 / sqrt k, which the last term covers.
//
// Detection limit: an element off by more than twice the tolerance is always seen. Against the typical size of an
// element, s_a s_b sqrt k = |a_i| |B|_F / sqrt(columns k), that is 12 u sqrt(columns k). Columns are checked in panels
// of 512 (64 where t > 2^-20), so for f32 accumulation it is 7e-4 of a typical element at k = 2048 and 2e-3 at k =
// 14336: below one step of bf16 (2^-8 = 4e-3), so that an element which was rounded to bf16 on its way is seen.
// README.md has the limits of units that truncate. Integers are compared exactly.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/backends/device.hpp"
#include "common/core/bfloat16.hpp"
#include "common/core/float16.hpp"

namespace rackproof::gemm {

struct Shape {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
};

/// Columns [first, first + count) of row `row` of a matrix. It may use `scratch` to hold them, and is called by several
/// threads at once.
template <typename T>
using Rows = std::function<std::span<const T>(std::int64_t row, std::int64_t first, std::int64_t count,
                                              std::vector<T>& scratch)>;

/// The rows of a row-major matrix of `columns` columns, in memory that outlives the result.
template <typename T>
[[nodiscard]] Rows<T> rows_of(std::span<const T> matrix, std::int64_t columns) {
  return [matrix, columns](std::int64_t row, std::int64_t first, std::int64_t count, std::vector<T>& /*scratch*/) {
    return matrix.subspan(static_cast<std::size_t>(row * columns + first), static_cast<std::size_t>(count));
  };
}

struct FreivaldsResult {
  /// Largest |r_i| / tolerance over rows, panels and vectors; not finite where an element is not.
  double error = 0.0;
  std::int64_t row = 0;           ///< where that is
  std::int64_t first_column = 0;  ///< of the panel where that is
};

/// u(k) above for a truncating accumulation of k products.
[[nodiscard]] double truncation_error(const Accumulation& accumulation, std::int64_t k);

/// Checks c[m, n], row-major. Products of i8 give i32 and are exact: error is twice |r_i|, an integer.
/// Instantiated for (f64, f64), (f32, f32), (f16, f32), (bf16, f32), (bf16, bf16), (i8, i32).
template <typename In, typename Out>
[[nodiscard]] FreivaldsResult freivalds(const Shape& shape, const Rows<In>& a, const Rows<In>& b,
                                        std::span<const Out> c, std::uint64_t seed,
                                        const Accumulation& accumulation = {});

}  // namespace rackproof::gemm

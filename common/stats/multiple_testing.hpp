// Adjusted p-values: the smallest level at which each of several hypotheses would be rejected beside the others.
#pragma once

#include <span>
#include <vector>

namespace rackproof::stats {

/// The chance of one false rejection or more among all of them stays at or below the level, whatever depends on what:
/// max over j <= i of min(1, (n - j + 1) p(j)), p(1) <= p(2) <= ... (Holm, A simple sequentially rejective multiple
/// test procedure, Scandinavian Journal of Statistics 6, 1979). In the order of the input; no NaN.
[[nodiscard]] std::vector<double> holm(std::span<const double> p_values);

/// The expected share of false ones among the rejected stays at or below the level, for independent p-values:
/// min over j >= i of min(1, n p(j) / j) (Benjamini and Hochberg, JRSS B 57, 1995). In the order of the input; no NaN.
[[nodiscard]] std::vector<double> benjamini_hochberg(std::span<const double> p_values);

}  // namespace rackproof::stats

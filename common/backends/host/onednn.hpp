// The one place that knows which oneDNN this is: 2.6 (Debian 12) or 3.x (Ubuntu 24.04 and later).
#pragma once

#include <array>
#include <dnnl.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/backends/host/matvec.hpp"
#include "common/core/error.hpp"

namespace rackproof::host::onednn {

/// Runs `action`, which calls oneDNN. A failure becomes an Error: usage where this CPU cannot do it, else
/// infrastructure.
template <typename Action>
auto check(const char* call, const std::string& what, Action&& action) {
  try {
    return std::forward<Action>(action)();
  } catch (const dnnl::error& error) {
    const bool cannot = error.status == dnnl_unimplemented;
    throw Error(cannot ? ExitCode::usage : ExitCode::infrastructure, "dnnl", static_cast<int>(error.status), call,
                cannot ? what + ": oneDNN has no kernel for it on this processor" : what + ": " + error.message);
  }
}

[[nodiscard]] std::string version();

/// `scratch` is provided by the caller; f32 stays f32 whatever DNNL_DEFAULT_FPMATH_MODE says.
[[nodiscard]] inline dnnl::matmul::primitive_desc matmul_plan(const dnnl::engine& engine, const dnnl::memory::desc& a,
                                                              const dnnl::memory::desc& b,
                                                              const dnnl::memory::desc& c) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, c, attributes};
#else
  return {dnnl::matmul::desc(a, b, c), attributes, engine};
#endif
}

/// What is needed of a two-dimensional memory descriptor.
struct Blocking {
  std::array<std::int64_t, 2> strides{};
  std::vector<std::pair<int, std::int64_t>> inner;  ///< (dimension, size), outermost first
};

/// Empty where the memory is in a format that oneDNN keeps to itself.
[[nodiscard]] inline std::optional<Blocking> blocking(const dnnl::memory::desc& descriptor) {
  Blocking result;
#if DNNL_VERSION_MAJOR >= 3
  if (descriptor.get_format_kind() != dnnl::memory::format_kind::blocked || descriptor.get_ndims() != 2) return {};
  const auto strides = descriptor.get_strides();
  result.strides = {strides[0], strides[1]};
  const auto sizes = descriptor.get_inner_blks();
  const auto dimensions = descriptor.get_inner_idxs();
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    result.inner.emplace_back(static_cast<int>(dimensions[i]), sizes[i]);
  }
#else
  const dnnl_memory_desc_t& data = descriptor.data;
  if (data.format_kind != dnnl_blocked || data.ndims != 2) return {};
  // Extra data behind the weights, such as the row sums of int8: still a layout, but not one of ours to read.
  if (data.extra.flags != dnnl_memory_extra_flag_none || data.offset0 != 0) return {};
  const dnnl_blocking_desc_t& blocks = data.format_desc.blocking;
  result.strides = {blocks.strides[0], blocks.strides[1]};
  for (int i = 0; i < blocks.inner_nblks; ++i) {
    result.inner.emplace_back(static_cast<int>(blocks.inner_idxs[i]), blocks.inner_blks[i]);
  }
#endif
  return result;
}

/// The layout of weights [k, n] that are blocked as "16a64b2a" is: rows, columns, rows again, where the first or the
/// last may be missing. Empty for all others.
[[nodiscard]] inline std::optional<BlockedLayout> weight_layout(const dnnl::memory::desc& weights) {
  auto found = blocking(weights);
  if (!found || found->inner.empty()) return {};
  auto& inner = found->inner;
  BlockedLayout layout;
  layout.stride_k = found->strides[0];
  layout.stride_n = found->strides[1];
  if (inner.back().first == 0) {
    layout.interleave = inner.back().second;
    inner.pop_back();
  }
  if (inner.empty() || inner.back().first != 1) return {};
  layout.block_n = inner.back().second;
  inner.pop_back();
  layout.block_k = layout.interleave;
  if (!inner.empty()) {
    if (inner.back().first != 0) return {};
    layout.block_k *= inner.back().second;
    inner.pop_back();
  }
  if (!inner.empty()) return {};
  return layout;
}

}  // namespace rackproof::host::onednn

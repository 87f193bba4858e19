// Matrix products, on all ranks at once, each on its own device.
#include "suites/suite.hpp"

#include <fmt/format.h>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "suites/gemm/shapes.hpp"
#include "suites/gemm/workload.hpp"

namespace rackproof {
namespace {

using gemm::Product;

constexpr const char* sizes_of_profile = "profile";
/// At and below this many rows a product is bound by reading B, and its bandwidth is shown too.
constexpr std::int64_t few_rows = 16;

Product product_of(const Case& which) {
  Product product;
  product.type = parse_data_type(which.parameters.text("type"), "gemm");
  product.shape = {which.parameters.integer("m"), which.parameters.integer("n"), which.parameters.integer("k")};
  product.layout =
      which.parameters.text("layout") == gemm::name(WeightLayout::packed) ? WeightLayout::packed : WeightLayout::plain;
  product.weights_for_m = which.parameters.integer("weights_for_m");
  return product;
}

Case case_of(const Product& product, const Platform& platform) {
  const auto& [m, n, k] = product.shape;
  Case result;
  result.name = gemm::case_name(product);
  result.parameters = {{"type", std::string(name(product.type))},
                       {"m", m},
                       {"n", n},
                       {"k", k},
                       {"layout", std::string(gemm::name(product.layout))},
                       {"weights_for_m", product.weights_for_m}};
  result.work.flop = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  result.work.bytes = gemm::operand_bytes(product);
  result.figures.push_back({"tflops", "TFLOP/s", Figure::Kind::rate, result.work.flop / 1e12});
  const auto peak = platform.peaks.flops.find(product.type);
  if (platform.known && peak != platform.peaks.flops.end() && peak->second > 0.0) {
    result.figures.push_back({"peak_share", "%", Figure::Kind::rate, 100.0 * result.work.flop / peak->second});
  }
  if (m <= few_rows) {
    result.figures.push_back({"bandwidth", "GB/s", Figure::Kind::rate, result.work.bytes / 1e9});
  }
  if (platform.known && peak == platform.peaks.flops.end()) {
    result.skip_reason = fmt::format("this device multiplies no {}", name(product.type));
  } else if (platform.known && 2.0 * result.work.bytes > static_cast<double>(platform.memory_available)) {
    // Once in the layout of the plan, once as given.
    result.skip_reason = fmt::format("needs {} of memory, there are {}", format_bytes(2.0 * result.work.bytes),
                                     format_bytes(static_cast<double>(platform.memory_available)));
  }
  return result;
}

class GemmSuite final : public Suite {
 public:
  [[nodiscard]] std::string name() const override { return "gemm"; }
  [[nodiscard]] std::string description() const override {
    return "matrix products of every type, plain and packed, on all devices at once";
  }
  [[nodiscard]] std::vector<OptionSpec> options() const override {
    return {{"gemm-types", "types to multiply, of f64, f32, bf16, i8", "f64,f32,bf16,i8"},
            {"gemm-sizes", "squares (1024) and MxNxK (128x4096x768), instead of the shapes of the profile",
             sizes_of_profile}};
  }

  [[nodiscard]] std::vector<Case> cases(const Options& options, const Platform& platform) const override {
    const auto types = gemm::parse_types(options.value("gemm-types"));
    const std::string& sizes = options.value("gemm-sizes");
    const auto products = sizes == sizes_of_profile ? gemm::products_of(options.profile, types)
                                                    : gemm::products_of(gemm::parse_sizes(sizes), types);
    std::vector<Case> result;
    result.reserve(products.size());
    for (const Product& product : products) result.push_back(case_of(product, platform));
    return result;
  }

  [[nodiscard]] std::unique_ptr<Workload> make(const Case& which, const Context& context) const override {
    return gemm::make_workload(product_of(which), context);
  }
};

}  // namespace

std::unique_ptr<Suite> make_gemm_suite();
std::unique_ptr<Suite> make_gemm_suite() { return std::make_unique<GemmSuite>(); }

}  // namespace rackproof

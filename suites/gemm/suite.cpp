// Matrix products, on all ranks at once, each on its own device.
#include "suites/suite.hpp"

#include <fmt/format.h>

#include "common/core/error.hpp"
#include "common/core/lists.hpp"
#include "common/core/units.hpp"
#include "suites/gemm/shapes.hpp"
#include "suites/gemm/workload.hpp"

namespace rackproof {
namespace {

using gemm::Product;

constexpr const char* sizes_of_profile = "profile";
constexpr const char* automatic = "auto";
constexpr const char* first_choice = "heuristic";
constexpr const char* tuned_choice = "tuned";
/// At and below this many rows a product is bound by reading B, and its bandwidth is shown too.
constexpr std::int64_t few_rows = 16;

Product product_of(const Case& which) {
  Product product;
  const gemm::Operand operand = gemm::parse_operand(which.parameters.text("type"));
  product.type = operand.type;
  product.scaling = operand.scaling;
  product.shape = {which.parameters.integer("m"), which.parameters.integer("n"), which.parameters.integer("k")};
  product.layout =
      which.parameters.text("layout") == gemm::name(WeightLayout::packed) ? WeightLayout::packed : WeightLayout::plain;
  product.weights_for_m = which.parameters.integer("weights_for_m");
  product.tuned = which.parameters.text("algorithm") == tuned_choice;
  return product;
}

/// Why the case cannot run, as far as that is known without the device; empty where it may.
std::string reason_to_skip(const Product& product, double bytes, const Platform& platform) {
  if (!platform.known) return {};
  // The host's libraries need not be asked: what they multiply has a peak.
  if (platform.device == "host") {
    if (!platform.peaks.flops.contains(product.type) || product.scaling != Scaling::none) {
      return fmt::format("this device multiplies no {}", gemm::name(gemm::operand_of(product)));
    }
    if (product.tuned) return "the libraries of the host offer one algorithm a product";
  }
  // Once in the layout of the plan, once as given.
  if (2.0 * bytes <= static_cast<double>(platform.memory_available)) return {};
  return fmt::format("needs {} of memory, there are {}", format_bytes(2.0 * bytes),
                     format_bytes(static_cast<double>(platform.memory_available)));
}

Case case_of(const Product& product, const Platform& platform) {
  const auto& [m, n, k] = product.shape;
  Case result;
  result.name = gemm::case_name(product);
  result.parameters = {{"type", std::string(gemm::name(gemm::operand_of(product)))},
                       {"m", m},
                       {"n", n},
                       {"k", k},
                       {"layout", std::string(gemm::name(product.layout))},
                       {"weights_for_m", product.weights_for_m},
                       {"algorithm", product.tuned ? tuned_choice : first_choice}};
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
  result.skip_reason = reason_to_skip(product, result.work.bytes, platform);
  return result;
}

/// Whether products by the first choice, and by the fastest, are wanted.
struct Choices {
  bool first = false;
  bool tuned = false;
};

Choices parse_algorithms(const std::string& text, const Options& options, const Platform& platform) {
  if (text == automatic) return {true, options.profile == Profile::accept && platform.device != "host"};
  Choices choices;
  for (const std::string& part : split_list(text, "--gemm-algorithms")) {
    if (part != tuned_choice && part != first_choice) {
      throw usage_error(
          fmt::format("--gemm-algorithms: '{}' is neither {} nor {}", printable(part), first_choice, tuned_choice));
    }
    (part == tuned_choice ? choices.tuned : choices.first) = true;
  }
  return choices;
}

std::vector<Product> choose_products(const Options& options, const Platform& platform) {
  const std::string& types = options.value("gemm-types");
  const auto operands = types == automatic ? gemm::default_operands(platform.device) : gemm::parse_types(types);
  const std::string& sizes = options.value("gemm-sizes");
  if (sizes != sizes_of_profile) return gemm::products_of(gemm::parse_sizes(sizes), operands);
  return platform.device == "host" ? gemm::products_of(options.profile, operands)
                                   : gemm::gpu_products_of(options.profile, operands);
}

class GemmSuite final : public Suite {
 public:
  [[nodiscard]] std::string name() const override { return "gemm"; }
  [[nodiscard]] std::string description() const override {
    return "matrix products of every type, plain and packed, on all devices at once";
  }
  [[nodiscard]] std::vector<OptionSpec> options() const override {
    return {{"gemm-types",
             "types to multiply, of f64, f32, tf32, f16, bf16, f8, f8-block, mxf8, nvf4, i8; auto: f64,f32,bf16,i8 on "
             "the host, all on a GPU",
             automatic},
            {"gemm-sizes", "squares (1024) and MxNxK (128x4096x768), instead of the shapes of the profile",
             sizes_of_profile},
            {"gemm-algorithms",
             "of heuristic (the library's first choice) and tuned (the fastest that it offers, measured before), "
             "comma-separated; auto: heuristic, with accept on a GPU both",
             automatic}};
  }

  [[nodiscard]] std::vector<Case> cases(const Options& options, const Platform& platform) const override {
    const Choices choices = parse_algorithms(options.value("gemm-algorithms"), options, platform);
    std::vector<Case> result;
    for (Product product : choose_products(options, platform)) {
      if (choices.first) result.push_back(case_of(product, platform));
      product.tuned = true;
      if (choices.tuned) result.push_back(case_of(product, platform));
    }
    return result;
  }

  [[nodiscard]] std::string reason_to_skip(const Case& which, const Context& context) const override {
    return context.device.refuses(gemm::problem_of(product_of(which)));
  }

  [[nodiscard]] std::unique_ptr<Workload> make(const Case& which, const Context& context) const override {
    return gemm::make_workload(product_of(which), context);
  }
};

}  // namespace

std::unique_ptr<Suite> make_gemm_suite();
std::unique_ptr<Suite> make_gemm_suite() { return std::make_unique<GemmSuite>(); }

}  // namespace rackproof

// The cases of the token suite, from its options.
#include "suites/suite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>

#include "common/core/error.hpp"
#include "common/core/lists.hpp"
#include "common/core/units.hpp"
#include "suites/tokens/all_reduces.hpp"
#include "suites/tokens/workload.hpp"

namespace rackproof {
namespace tokens {
namespace {

constexpr std::string_view automatic = "auto";

/// A step that reads less lies in the caches of any core: its share of the memory's bandwidth would say nothing.
constexpr double cached_bytes = 16.0 * 1024 * 1024;

std::vector<std::int64_t> integers(const Options& options, const std::string& option, std::int64_t high,
                                   const std::vector<std::int64_t>& otherwise) {
  const std::string& text = options.value(option);
  if (text == automatic) return otherwise;
  std::vector<std::int64_t> values;
  for (const std::string& part : split_list(text, "--" + option)) {
    values.push_back(parse_integer(part, "--" + option, 1, high));
  }
  return values;
}

std::vector<std::int64_t> chosen_batches(const Options& options) {
  using List = std::vector<std::int64_t>;
  return integers(options, "batch", 65536, options.profile != Profile::quick ? List{1, 8} : List{1});
}

std::vector<std::int64_t> chosen_prompts(const Options& options) {
  using List = std::vector<std::int64_t>;
  return integers(options, "prompt", 1 << 24, options.profile != Profile::quick ? List{128, 512} : List{128});
}

double real_between(const Options& options, const std::string& option, double low, double high) {
  const std::string& text = options.value(option);
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > low) || !(value <= high)) {
    throw usage_error(
        fmt::format("--{} '{}' must be a number above {} and at most {}", option, printable(text), low, high));
  }
  return value;
}

std::vector<ModelShape> chosen_shapes(const Options& options) {
  const std::string& text = options.value("model");
  if (text == automatic) return {find_shape("tiny"), find_shape("llama-100m")};
  std::vector<ModelShape> shapes;
  for (const std::string& part : split_list(text, "--model")) {
    shapes.push_back(find_shape(part));
    const auto same = [&](const ModelShape& shape) { return shape.name == shapes.back().name; };
    if (std::count_if(shapes.begin(), shapes.end(), same) > 1) {
      throw usage_error(fmt::format("--model gives two shapes named '{}'", shapes.back().name));
    }
  }
  return shapes;
}

std::vector<DataType> chosen_types(const Options& options) {
  std::vector<DataType> types;
  for (const std::string& part : split_list(options.value("token-types"), "--token-types")) {
    types.push_back(parse_data_type(part, "--token-types"));
    if (types.back() != DataType::f32 && types.back() != DataType::bf16) {
      throw usage_error(
          fmt::format("--token-types {} is no type of the token engine; choose among f32 and bf16", part));
    }
  }
  return types;
}

Sampling chosen_sampling(const Options& options) {
  Sampling sampling;
  const std::string& text = options.value("sampling");
  if (text != "greedy" && text != "random") {
    throw usage_error(fmt::format("--sampling '{}' is unknown; choose greedy or random", printable(text)));
  }
  sampling.greedy = text == "greedy";
  sampling.top_k = static_cast<int>(parse_integer(options.value("top-k"), "--top-k", 1, max_candidates));
  sampling.top_p = real_between(options, "top-p", 0.0, 1.0);
  sampling.temperature = real_between(options, "temperature", 0.0, 100.0);
  sampling.seed = options.seed;
  return sampling;
}

std::string describe(const Sampling& sampling) {
  if (sampling.greedy) return "greedy";
  return fmt::format("top-k {}, top-p {}, temperature {}", sampling.top_k, sampling.top_p, sampling.temperature);
}

/// Ranks that share one model: what was asked for, or the largest number that divides the world and the model.
std::int64_t chosen_tp(const Options& options, const ModelShape& shape, std::int64_t world) {
  const std::string& text = options.value("tp");
  if (text == automatic) {
    std::int64_t tp = world;
    while (world % tp != 0 || !indivisible_by(shape, tp).empty()) --tp;
    return tp;
  }
  const std::int64_t tp = parse_integer(text, "--tp", 1, 1 << 20);
  if (world % tp != 0) {
    throw usage_error(fmt::format(
        "--tp {} does not divide the {} rank{} of this run; start a multiple of {} ranks or choose another --tp", tp,
        world, world == 1 ? "" : "s", tp));
  }
  if (const std::string number = indivisible_by(shape, tp); !number.empty()) {
    throw usage_error(
        fmt::format("--tp {} does not divide the {} of {}; choose a --tp that does", tp, number, shape.name));
  }
  return tp;
}

std::string too_large(const Plan& plan, std::int64_t tp, std::size_t available) {
  if (available == 0) return {};
  const Memory memory = memory_needed(plan, tp);
  if (memory.total() <= static_cast<double>(available)) return {};
  return fmt::format(
      "{} in {} needs {} a rank at tp {} (weights {}, key and value cache {}, activations {}, loading {}), "
      "{} are available",
      plan.shape.name, name(plan.type), format_bytes(memory.total()), tp, format_bytes(memory.weights),
      format_bytes(memory.cache), format_bytes(memory.activations), format_bytes(memory.staging),
      format_bytes(static_cast<double>(available)));
}

Case make_case(const Plan& plan, std::int64_t tp, std::int64_t dp, const Platform& platform) {
  const bool prefill = plan.phase == Phase::prefill;
  const double ranks = static_cast<double>(tp);
  const auto batch = static_cast<double>(plan.batch);
  const auto length = static_cast<double>(plan.length);
  // A decode case's steps go through its window: their mean depth stands for all.
  const double depth = length + static_cast<double>(decode_window - 1) / 2.0;

  Case result;
  result.name = fmt::format("tokens/{}/{}/tp{}/{}/{}{}b{}", plan.shape.name, name(plan.type), tp,
                            prefill ? "prefill" : "decode", prefill ? "p" : "c", plan.length, plan.batch);
  result.parameters = {{"model", plan.shape.name},
                       {"type", std::string(name(plan.type))},
                       {"phase", std::string(prefill ? "prefill" : "decode")},
                       {"tp", tp},
                       {"dp", dp},
                       {"batch", plan.batch},
                       {"prompt", prefill ? plan.length : 0},
                       {"context", prefill ? 0 : plan.length},
                       {"sampling", describe(plan.sampling)},
                       {"layers", plan.shape.layers},
                       {"hidden", plan.shape.hidden},
                       {"heads", plan.shape.heads},
                       {"kv_heads", plan.shape.kv_heads},
                       {"head_dim", plan.shape.head_dim},
                       {"ffn", plan.shape.ffn},
                       {"vocabulary", plan.shape.vocabulary}};
  result.collective = tp * dp > 1;
  result.work.flop =
      (prefill ? prefill_flop(plan.shape, plan.batch, length) : decode_flop(plan.shape, plan.batch, depth)) / ranks;
  result.work.bytes = (prefill ? prefill_bytes(plan.shape, plan.type, plan.batch, length)
                               : decode_bytes(plan.shape, plan.type, plan.batch, depth)) /
                      ranks;
  result.work.tokens = static_cast<double>(dp) * batch * (prefill ? length : 1.0);

  using Kind = Figure::Kind;
  result.figures.push_back({prefill ? "prefill" : "decode", "tokens/s", Kind::rate, result.work.tokens});
  result.figures.push_back({prefill ? "ttft" : "tpot", "ms", Kind::time, 1e3});
  const double bandwidth = platform.peaks.memory_bandwidth;
  if (!prefill && bandwidth > 0.0 && result.work.bytes >= cached_bytes) {
    result.figures.push_back({"mbu", "%", Kind::rate, 100.0 * result.work.bytes / bandwidth});
  }
  const auto peak = platform.peaks.flops.find(plan.type);
  if (peak != platform.peaks.flops.end() && peak->second > 0.0) {
    result.figures.push_back({"mfu", "%", Kind::rate, 100.0 * result.work.flop / peak->second});
  }
  if (platform.known && peak == platform.peaks.flops.end()) {
    result.skip_reason = fmt::format("this device does not multiply {}", name(plan.type));
  }
  return result;
}

class TokensSuite final : public Suite {
 public:
  [[nodiscard]] std::string name() const override { return "tokens"; }
  [[nodiscard]] std::string description() const override {
    return "end-to-end tokens of a Llama-architecture decoder: prefill and decode";
  }

  [[nodiscard]] std::vector<OptionSpec> options() const override {
    return {
        {"model",
         "shapes, comma-separated: tiny, llama-100m, llama-3-8b, llama-3-70b, llama-3.1-405b or a FILE.toml; "
         "auto: tiny,llama-100m",
         "auto"},
        {"tp", "ranks that share one model; auto: the largest number that divides ranks and model", "auto"},
        {"batch", "sequences that advance together, comma-separated; auto: 1 (accept: 1,8)", "auto"},
        {"prompt", "tokens of a prompt, comma-separated; auto: 128 (accept: 128,512)", "auto"},
        {"context", "tokens in the cache before a decode step, comma-separated; auto: 128 (accept: 128,1024)", "auto"},
        {"token-types", "f32, bf16, comma-separated", "f32,bf16"},
        {"sampling", "greedy, or random: among --top-k and --top-p", "greedy"},
        {"top-k", "random: how many of the likeliest tokens take part, 1 to 1024", "40"},
        {"top-p", "random: the share of probability that takes part, above 0 to 1", "0.95"},
        {"temperature", "random: divides the logits, above 0 to 100", "0.8"},
    };
  }

  [[nodiscard]] std::vector<Case> cases(const Options& options, const Platform& platform) const override {
    std::vector<Case> result;
    const bool chosen = options.value("model") != automatic;
    for (const Planned& planned : plans(options, platform)) {
      result.push_back(make_case(planned.plan, planned.tp, platform.topology.size() / planned.tp, platform));
      const std::string reason = too_large(planned.plan, planned.tp, platform.memory_available);
      if (reason.empty()) continue;
      if (chosen) {
        throw usage_error(reason +
                          "; choose a smaller --model, --batch, --prompt or --context, or more ranks on more nodes");
      }
      result.back().skip_reason = reason;
    }
    return result;
  }

  [[nodiscard]] std::unique_ptr<Workload> make(const Case& which, const Context& context) const override {
    for (const Planned& planned : plans(context.options, context.platform)) {
      const std::int64_t dp = context.platform.topology.size() / planned.tp;
      if (make_case(planned.plan, planned.tp, dp, context.platform).name != which.name) continue;
      // Neighbouring ranks share a model.
      auto group = context.collective.split(static_cast<int>(context.collective.rank() / planned.tp));
      Plan plan = planned.plan;
      plan.has_peers = which.collective;
      // Replicas compute the same bits if their all-reduces add in the same order: for certain with two ranks, where
      // there is one order, and where all groups lie in one node.
      plan.digest_is_shared = dp == 1 || planned.tp <= 2 || context.platform.topology.nodes == 1;
      return make_workload(context.device, std::move(group), plan);
    }
    throw Error(ExitCode::internal, "tokens", 0, "", fmt::format("there is no case '{}'", which.name));
  }

 private:
  struct Planned {
    Plan plan;
    std::int64_t tp;
  };

  [[nodiscard]] static std::vector<Planned> plans(const Options& options, const Platform& platform) {
    using List = std::vector<std::int64_t>;
    const bool more = options.profile != Profile::quick;
    const Sampling sampling = chosen_sampling(options);
    const List batches = chosen_batches(options);
    const List prompts = chosen_prompts(options);
    const List contexts = integers(options, "context", 1 << 24, more ? List{128, 1024} : List{128});
    const std::vector<DataType> types = chosen_types(options);
    std::vector<Planned> result;
    for (const ModelShape& shape : chosen_shapes(options)) {
      const std::int64_t tp = chosen_tp(options, shape, platform.topology.size());
      for (const DataType type : types) {
        for (const Phase phase : {Phase::prefill, Phase::decode}) {
          for (const std::int64_t length : phase == Phase::prefill ? prompts : contexts) {
            for (const std::int64_t batch : batches) {
              result.push_back({Plan{.shape = shape,
                                     .type = type,
                                     .phase = phase,
                                     .batch = batch,
                                     .length = length,
                                     .seed = options.seed,
                                     .sampling = sampling},
                                tp});
            }
          }
        }
      }
    }
    return result;
  }
};

}  // namespace

std::set<std::int64_t> all_reduce_elements(const Options& options) {
  std::set<std::int64_t> elements;
  for (const ModelShape& shape : chosen_shapes(options)) {
    for (const std::int64_t batch : chosen_batches(options)) {
      elements.insert(batch * shape.hidden);
      for (const std::int64_t prompt : chosen_prompts(options)) elements.insert(batch * prompt * shape.hidden);
    }
  }
  return elements;
}

}  // namespace tokens

std::unique_ptr<Suite> make_tokens_suite();
std::unique_ptr<Suite> make_tokens_suite() { return std::make_unique<tokens::TokensSuite>(); }

}  // namespace rackproof

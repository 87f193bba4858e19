#include "suites/allreduce/cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/lists.hpp"
#include "common/core/units.hpp"
#include "suites/allreduce/contents.hpp"
#include "suites/allreduce/elements.hpp"
#include "suites/tokens/all_reduces.hpp"

namespace rackproof::allreduce {
namespace {

constexpr std::uint64_t kibi = 1024;
constexpr std::uint64_t mebi = kibi * kibi;
/// Sizes are whole numbers of elements of every type.
constexpr std::uint64_t granularity = 8;
constexpr std::uint64_t largest_message = std::uint64_t{1} << 60U;
/// Up to here the latency is the figure that matters, above the bandwidth.
constexpr std::uint64_t largest_latency_bound = 64 * kibi;
/// Seconds. While a rank waits it reads the clock, and it must not be taken for dead.
constexpr double longest_spread = 0.1;

using Sizes = std::set<std::uint64_t>;

/// What the options ask for.
struct Choice {
  std::vector<Operation> operations;
  std::vector<Reduction> reductions;
  std::vector<Groups> groups;
  std::vector<Arrivals> arrivals;
  double spread = 0.0;
  std::vector<Inputs> inputs;
  std::vector<bool> streamed;
  std::vector<bool> registered;
  std::vector<DataType> types;  ///< empty: the profile's choice
  Sizes sizes;                  ///< bytes
  Sizes model_sizes;            ///< elements of the model's all-reduces
  bool sweeps = false;          ///< sizes are those of the range
  bool everything = false;
  std::uint64_t largest = 0;  ///< of the range
  std::uint64_t least = 0;
};

std::uint64_t message_bytes(const std::string& text, const std::string& option) {
  const std::uint64_t bytes = parse_bytes(text, option);
  if (bytes < granularity || bytes % granularity != 0) {
    throw usage_error(fmt::format("{}: '{}' is no multiple of 8B, which holds whole elements of every type", option,
                                  printable(text)));
  }
  if (bytes > largest_message) throw usage_error(fmt::format("{}: '{}' is above 2^60 B", option, printable(text)));
  return bytes;
}

/// Every power of two (every: 1) or of four (2) within the range, and both its ends.
Sizes sweep(std::uint64_t least, std::uint64_t most, unsigned every) {
  Sizes sizes{least, most};
  for (unsigned exponent = 0; exponent < 63; exponent += every) {
    const std::uint64_t size = std::uint64_t{1} << exponent;
    if (size > least && size < most) sizes.insert(size);
  }
  return sizes;
}

/// parse(entry, "--option") of each entry of the list.
template <typename Parse>
auto parsed_list(const Options& options, const std::string& option, Parse parse) {
  const std::string flag = "--" + option;
  std::vector<decltype(parse(std::string(), flag))> values;
  for (const std::string& part : split_list(options.value(option), flag)) values.push_back(parse(part, flag));
  return values;
}

void choose_sizes(const Options& options, Choice& choice) {
  choice.least = message_bytes(options.value("min-message-size"), "--min-message-size");
  choice.largest = message_bytes(options.value("max-message-size"), "--max-message-size");
  if (choice.least > choice.largest) {
    throw usage_error(fmt::format("--min-message-size: {} is above --max-message-size {}",
                                  printable(options.value("min-message-size")),
                                  printable(options.value("max-message-size"))));
  }
  for (const std::string& part : split_list(options.value("message-sizes"), "--message-sizes")) {
    if (part == "sweep") {
      choice.sweeps = true;
      choice.sizes.merge(sweep(choice.least, choice.largest, choice.everything ? 1 : 2));
    } else if (part == "model") {
      for (const std::int64_t elements : tokens::all_reduce_elements(options)) {
        choice.model_sizes.insert(static_cast<std::uint64_t>(elements));
      }
    } else {
      choice.sizes.insert(message_bytes(part, "--message-sizes"));
    }
  }
}

Inputs parse_inputs(const std::string& text, const std::string& option) {
  if (text == "pattern") return Inputs::pattern;
  if (text == "normals") return Inputs::normals;
  throw usage_error(fmt::format("{}: '{}' is none of pattern, normals", option, printable(text)));
}

bool parse_mode(const std::string& text, const std::string& option) {
  if (text == "isolated") return false;
  if (text == "streamed") return true;
  throw usage_error(fmt::format("{}: '{}' is none of isolated, streamed", option, printable(text)));
}

bool parse_memory(const std::string& text, const std::string& option) {
  if (text == "plain") return false;
  if (text == "registered") return true;
  throw usage_error(fmt::format("{}: '{}' is none of plain, registered", option, printable(text)));
}

Groups parse_groups(const std::string& text, const Options& options, const mpi::Topology& topology) {
  if (text != "tp") return make_groups(text, topology);
  const std::string& tp = options.value("tp");
  if (tp == "auto") throw usage_error("--groups tp: needs --tp N, the ranks that share a model");
  return make_groups("tp" + tp, topology);
}

double parse_spread(const std::string& text) {
  // Whole nanoseconds, so that the number in the file is the one that was meant.
  const double spread = std::round(parse_duration(text, "--arrival-spread") * 1e9) / 1e9;
  if (!(spread > 0.0 && spread <= longest_spread)) {
    throw usage_error(fmt::format("--arrival-spread: '{}' must be more than 0s and at most 100ms", printable(text)));
  }
  return spread;
}

bool sums_normals(Operation operation, Reduction reduction) {
  return operation == Operation::all_reduce && reduction == Reduction::sum;
}

bool has_normals_of(DataType type) { return type == DataType::f64 || type == DataType::f32 || type == DataType::bf16; }

/// Options that would say nothing, because what they are about was not chosen.
void refuse_what_has_no_effect(const Options& options, const Choice& choice) {
  const auto& operations = choice.operations;
  if (options.value("reductions") != "sum" && std::none_of(operations.begin(), operations.end(), reduces)) {
    throw usage_error("--reductions: none of the --collectives reduces; add all-reduce, reduce-scatter or reduce");
  }
  const auto refuse_unless_default = [&](const std::string& option, const std::string& without) {
    for (const OptionSpec& known : option_specs()) {
      if (known.name != option || options.value(option) == known.default_value) continue;
      throw usage_error(fmt::format("--{}: has no effect without {}", option, without));
    }
  };
  if (!choice.sweeps) {
    refuse_unless_default("min-message-size", "--message-sizes sweep");
    refuse_unless_default("max-message-size", "--message-sizes sweep");
  }
  if (choice.arrivals == std::vector{Arrivals::together}) {
    refuse_unless_default("arrival-spread", "--arrivals one-late, linear or random");
  }
  const bool streams = std::count(choice.streamed.begin(), choice.streamed.end(), true) > 0;
  if (streams && std::count(choice.arrivals.begin(), choice.arrivals.end(), Arrivals::together) == 0) {
    throw usage_error(
        "--modes streamed: in a row of operations no rank can be late on purpose; add together to --arrivals");
  }
  const bool has_sum = std::count(choice.reductions.begin(), choice.reductions.end(), Reduction::sum) > 0;
  const bool has_normals = std::count(choice.inputs.begin(), choice.inputs.end(), Inputs::normals) > 0;
  const bool has_all_reduce = std::count(operations.begin(), operations.end(), Operation::all_reduce) > 0;
  if (has_normals && !(has_sum && has_all_reduce)) {
    throw usage_error("--inputs normals: is for sums by all-reduce; add these to --reductions and --collectives");
  }
  if (has_normals && !choice.types.empty() && std::none_of(choice.types.begin(), choice.types.end(), has_normals_of)) {
    throw usage_error("--inputs normals: are of f32, f64 and bf16; add one of them to --message-types");
  }
}

std::string names_of(const std::vector<DataType>& types) {
  std::string text;
  for (const DataType type : types) text += (text.empty() ? "" : ", ") + std::string(name(type));
  return text;
}

DataType parse_message_type(const std::string& text, const std::string& option) {
  const DataType type = parse_data_type(text, option);
  const std::vector<DataType>& exchanged = exchanged_types();
  if (std::find(exchanged.begin(), exchanged.end(), type) == exchanged.end()) {
    throw usage_error(
        fmt::format("{}: {} is not exchanged; choose from {}", option, printable(text), names_of(exchanged)));
  }
  return type;
}

Choice choose(const Options& options, const Platform& platform) {
  Choice choice;
  choice.everything = options.profile == Profile::accept;
  choose_sizes(options, choice);
  if (options.value("collectives") == "all") {
    choice.operations = all_operations();
  } else {
    choice.operations = parsed_list(options, "collectives",
                                    [](const auto& text, const auto& option) { return parse_operation(text, option); });
  }
  choice.reductions = parsed_list(options, "reductions",
                                  [](const auto& text, const auto& option) { return parse_reduction(text, option); });
  choice.groups = parsed_list(
      options, "groups", [&](const auto& text, const auto&) { return parse_groups(text, options, platform.topology); });
  std::set<std::string> names;
  for (const Groups& groups : choice.groups) {
    if (!names.insert(groups.name).second) throw usage_error(fmt::format("--groups: '{}' is there twice", groups.name));
  }
  choice.arrivals = parsed_list(options, "arrivals",
                                [](const auto& text, const auto& option) { return parse_arrivals(text, option); });
  choice.spread = parse_spread(options.value("arrival-spread"));
  choice.inputs = parsed_list(options, "inputs", parse_inputs);
  choice.streamed = parsed_list(options, "modes", parse_mode);
  choice.registered = parsed_list(options, "message-memory", parse_memory);
  if (options.value("message-types") != "auto") {
    choice.types = parsed_list(options, "message-types",
                               [](const auto& text, const auto& option) { return parse_message_type(text, option); });
  }
  refuse_what_has_no_effect(options, choice);
  return choice;
}

/// "allreduce/f32/1MiB/out-of-place", "allreduce/all-gather/bf16/1MiB/out-of-place/node/one-late": what is as usual is
/// left out.
std::string case_name(const Spec& spec, std::uint64_t bytes) {
  std::string text = "allreduce/";
  if (spec.operation != Operation::all_reduce) text += std::string(name(spec.operation)) + "/";
  text += fmt::format("{}/{}/{}", name(spec.type), exact_bytes(bytes), spec.in_place ? "in-place" : "out-of-place");
  if (spec.reduction != Reduction::sum) text += fmt::format("/{}", name(spec.reduction));
  if (spec.groups.name != "world") text += "/" + spec.groups.name;
  if (spec.arrivals != Arrivals::together) text += fmt::format("/{}", name(spec.arrivals));
  if (spec.inputs == Inputs::normals) text += "/normals";
  if (spec.streamed) text += "/streamed";
  if (spec.registered) text += "/registered";
  return text;
}

Parameters parameters_of(const Spec& spec) {
  Parameters parameters{
      {"type", std::string(name(spec.type))},
      {"count", static_cast<std::int64_t>(spec.count)},
      {"in_place", std::int64_t{spec.in_place ? 1 : 0}},
      {"ranks", std::int64_t{spec.groups.ranks}},
      {"operation", std::string(name(spec.operation))},
      {"reduction", reduces(spec.operation) ? std::string(name(spec.reduction)) : std::string("none")},
      {"groups", spec.groups.name},
      {"arrivals", std::string(name(spec.arrivals))},
      {"arrival_spread", spec.spread},
      {"inputs", std::string(spec.inputs == Inputs::normals ? "normals" : "pattern")},
      {"mode", std::string(spec.streamed ? "streamed" : "isolated")}};
  if (spec.registered) parameters.set("message_memory", std::string("registered"));
  return parameters;
}

/// S / t, and what the busiest rank sends or receives in that time.
std::vector<Figure> figures_of(const Spec& spec, std::uint64_t bytes) {
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  const Figure latency{"latency", "us", Figure::Kind::time, 1e6};
  const Figure algbw{"algbw", "GB/s", Figure::Kind::rate, gigabytes};
  if (spec.groups.ranks < 2) return {latency, algbw};
  const Figure busbw{"busbw", "GB/s", Figure::Kind::rate, gigabytes * bus_factor(spec.operation, spec.groups.ranks)};
  return bytes <= largest_latency_bound ? std::vector{latency, algbw, busbw} : std::vector{busbw, algbw, latency};
}

/// Why the case cannot run here; empty where it can.
std::string obstacle(const Spec& spec, std::uint64_t bytes, const Platform& platform) {
  if (!spec.groups.skip_reason.empty()) return spec.groups.skip_reason;
  const int ranks = spec.groups.ranks;
  if (ranks < 2) {
    return spec.groups.is_world()
               ? "needs at least 2 ranks"
               : fmt::format("the groups '{}' have one rank; at least 2 are needed", spec.groups.name);
  }
  if (reduces(spec.operation) && !can_reduce(spec.type, spec.reduction)) {
    return fmt::format("the {} of {} would overflow", name(spec.reduction), name(spec.type));
  }
  if (spec.inputs == Inputs::normals && ranks > most_normal_ranks(spec.type)) {
    return fmt::format("the error of {} sums of more than {} ranks has no useful bound", name(spec.type),
                       most_normal_ranks(spec.type));
  }
  if (spec.streamed && spec.in_place) return "in place no operation can follow the one before at once";
  if (spec.count == 0) {
    return fmt::format("{} are less than an element of {} for each of {} ranks", exact_bytes(bytes), name(spec.type),
                       ranks);
  }
  const std::uint64_t needed =
      least_memory(footprint(spec.operation, spec.count * size_of(spec.type), ranks, spec.in_place));
  if (platform.memory_available == 0 || needed <= platform.memory_available) return "";
  return fmt::format("needs {} of memory a rank, {} are available", format_bytes(static_cast<double>(needed)),
                     format_bytes(static_cast<double>(platform.memory_available)));
}

Case make_case(Spec spec, std::uint64_t bytes, const Platform& platform) {
  spec.count = bytes / size_of(spec.type);
  // As nccl-tests does: what does not make a whole block for every rank is left out.
  if (has_blocks(spec.operation)) spec.count -= spec.count % static_cast<std::size_t>(spec.groups.ranks);
  const std::uint64_t message = spec.count * size_of(spec.type);
  Case made;
  made.name = case_name(spec, bytes);
  made.collective = true;
  made.parameters = parameters_of(spec);
  made.work.bytes = static_cast<double>(message);
  made.work.message_size = static_cast<std::int64_t>(message);
  made.figures = figures_of(spec, message);
  made.skip_reason = obstacle(spec, bytes, platform);
  return made;
}

/// The profile's choice of all-reduce sums: f32 out of place at every size; in place, and the other types, at some.
void add_usual_cases(const Spec& usual, const Choice& choice, const Platform& platform, std::vector<Case>& cases) {
  // Beside the f32 sweep: one size bound by latency, one in between and the largest.
  Sizes selected;
  for (const std::uint64_t size : {kibi, mebi, choice.largest}) {
    selected.insert(std::clamp(size, choice.least, choice.largest));
  }
  std::vector<DataType> types{DataType::f32, DataType::f64, DataType::bf16, DataType::i32};
  // What models are trained and served in on GPUs.
  if (platform.device != "host") types.insert(types.end(), {DataType::f16, DataType::f8e4m3, DataType::f8e5m2});
  for (const DataType type : types) {
    for (const bool in_place : {false, true}) {
      const bool whole_sweep = choice.everything || (type == DataType::f32 && !in_place);
      Spec spec = usual;
      spec.type = type;
      spec.in_place = in_place;
      for (const std::uint64_t size : choice.sizes) {
        const bool chosen = in_place && type != DataType::f32
                                ? size == *std::next(selected.begin(), selected.size() / 2)
                                : selected.contains(size);
        if (whole_sweep || chosen) cases.push_back(make_case(spec, size, platform));
      }
    }
  }
}

std::vector<bool> places(const Spec& spec, const Choice& choice) {
  // In place the input has to be written anew for each operation.
  if (spec.streamed && spec.operation != Operation::broadcast) return {false};
  if (spec.operation == Operation::broadcast) return {true};
  if (spec.operation != Operation::all_reduce) return {false};
  return choice.everything || !choice.types.empty() ? std::vector<bool>{false, true} : std::vector<bool>{false};
}

/// Sizes are unique, and so are the names; but of model and other sizes one may be the other.
void add_chosen_cases(Spec spec, const Choice& choice, const Platform& platform, std::vector<Case>& cases) {
  const bool normals = spec.inputs == Inputs::normals;
  for (const DataType type : choice.types.empty() ? std::vector{DataType::f32} : choice.types) {
    if (normals && !has_normals_of(type)) continue;
    spec.type = type;
    Sizes sizes = choice.sizes;
    Sizes of_model;
    for (const std::uint64_t elements : choice.model_sizes) {
      if (elements > largest_message / size_of(type)) throw usage_error("--message-sizes model: above 2^60 B");
      of_model.insert(elements * size_of(type));
    }
    sizes.insert(of_model.begin(), of_model.end());
    for (const bool in_place : places(spec, choice)) {
      spec.in_place = in_place;
      for (const std::uint64_t size : sizes) cases.push_back(make_case(spec, size, platform));
    }
    // The engine adds in place.
    spec.in_place = true;
    if (spec.streamed || spec.operation != Operation::all_reduce || places(spec, choice).size() == 2) continue;
    for (const std::uint64_t size : of_model) cases.push_back(make_case(spec, size, platform));
  }
}

void add_cases(const Spec& spec, const Choice& choice, const Platform& platform, std::vector<Case>& cases) {
  const bool usual = !spec.registered && sums_normals(spec.operation, spec.reduction) && spec.groups.name == "world" &&
                     spec.arrivals == Arrivals::together && spec.inputs == Inputs::pattern && !spec.streamed;
  const bool by_profile = choice.types.empty() && choice.sweeps && choice.model_sizes.empty();
  if (usual && by_profile) return add_usual_cases(spec, choice, platform, cases);
  add_chosen_cases(spec, choice, platform, cases);
}

/// Each case for each backend of the collectives, the usual one first, whose name the others' cases have in theirs. On
/// the host there is one, of which nothing needs to be said.
std::vector<Case> beside_each_other(std::vector<Case> cases, const Options& options, const Platform& platform) {
  const std::vector<std::string>& backends =
      platform.collectives.empty() ? options.collective_backends : platform.collectives;
  if (backends.empty() || (backends.size() == 1 && platform.device == "host")) return cases;
  std::vector<Case> all;
  for (const Case& one : cases) {
    for (const std::string& backend : backends) {
      all.push_back(one);
      all.back().parameters.set("backend", backend);
      if (backend != backends.front()) all.back().name += "/" + backend;
    }
  }
  return all;
}

}  // namespace

std::vector<OptionSpec> option_specs() {
  return {
      {"min-message-size", "smallest message of the sweep", "8B"},
      {"max-message-size", "largest message of the sweep; 1GiB and more are possible", "64MiB"},
      {"message-sizes",
       "comma-separated: sweep (of the range), sizes such as 1MiB, or model: those of the all-reduces of --model, "
       "--batch, --prompt",
       "sweep"},
      {"message-types", "of " + names_of(exchanged_types()) + ", comma-separated; auto: f32, and others at some sizes",
       "auto"},
      {"collectives",
       "of all-reduce, reduce-scatter, all-gather, all-to-all, broadcast, reduce, send-recv, comma-separated; or all",
       "all-reduce"},
      {"reductions", "of sum, min, max, prod, comma-separated", "sum"},
      {"groups",
       "that run at the same time, comma-separated: world, node, across (one rank of each node), every-N, tpN "
       "(N neighbours), tp (N is --tp)",
       "world"},
      {"arrivals",
       "of together, one-late, linear, random, comma-separated; the figure is the time beyond the last arrival",
       "together"},
      {"arrival-spread", "how late the last rank arrives, at most 100ms", "100us"},
      {"inputs",
       "pattern: sums that are exact; normals: all-reduces whose bits depend on the order, and whether they are "
       "reproducible; comma-separated",
       "pattern"},
      {"modes", "isolated: one operation a sample, from a common start; streamed: back to back; comma-separated",
       "isolated"},
      {"message-memory",
       "plain: the device's; registered: made and registered by the collectives' library (NCCL: ncclMemAlloc, "
       "ncclCommRegister); comma-separated",
       "plain"},
  };
}

std::vector<Case> make_cases(const Options& options, const Platform& platform) {
  const Choice choice = choose(options, platform);
  std::vector<Case> cases;
  Spec spec;
  for (const Operation operation : choice.operations) {
    spec.operation = operation;
    for (const Reduction reduction : reduces(operation) ? choice.reductions : std::vector{Reduction::sum}) {
      spec.reduction = reduction;
      for (const Groups& groups : choice.groups) {
        spec.groups = groups;
        for (const Arrivals arrivals : choice.arrivals) {
          spec.arrivals = arrivals;
          spec.spread = arrivals == Arrivals::together ? 0.0 : choice.spread;
          for (const Inputs inputs : choice.inputs) {
            if (inputs == Inputs::normals && !sums_normals(operation, reduction)) continue;
            spec.inputs = inputs;
            for (const bool streamed : choice.streamed) {
              if (streamed && arrivals != Arrivals::together) continue;
              spec.streamed = streamed;
              for (const bool registered : choice.registered) {
                spec.registered = registered;
                add_cases(spec, choice, platform, cases);
              }
            }
          }
        }
      }
    }
  }
  return beside_each_other(std::move(cases), options, platform);
}

Spec spec_of(const Case& which, const mpi::Topology& topology) {
  const Parameters& parameters = which.parameters;
  Spec spec;
  spec.operation = parse_operation(parameters.text("operation"), which.name);
  spec.type = parse_data_type(parameters.text("type"), which.name);
  if (reduces(spec.operation)) spec.reduction = parse_reduction(parameters.text("reduction"), which.name);
  spec.count = static_cast<std::size_t>(parameters.integer("count"));
  spec.in_place = parameters.integer("in_place") != 0;
  spec.inputs = parse_inputs(parameters.text("inputs"), which.name);
  spec.groups = make_groups(parameters.text("groups"), topology);
  spec.arrivals = parse_arrivals(parameters.text("arrivals"), which.name);
  spec.streamed = parse_mode(parameters.text("mode"), which.name);
  spec.spread = std::get<double>(*parameters.find("arrival_spread"));
  spec.registered = parameters.find("message_memory") != nullptr;
  if (parameters.find("backend") != nullptr) spec.backend = parameters.text("backend");
  return spec;
}

}  // namespace rackproof::allreduce

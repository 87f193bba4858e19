#include "suites/suite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/core/error.hpp"
#include "common/core/lists.hpp"
#include "common/core/units.hpp"
#include "suites/links/session.hpp"
#include "suites/links/workload.hpp"

namespace rackproof {
namespace {

using links::CopyKind;
using links::CopyWorkload;
using links::Endpoints;
using links::HostMemory;
using links::LinksSession;
using links::PairWorkload;

constexpr std::uint64_t kibi = 1024;
constexpr std::uint64_t mebi = kibi * kibi;
/// Messages are whole words (payload.hpp).
constexpr std::uint64_t granularity = 8;
/// Below, latency is the figure that matters, and both ways at once tell nothing more than one.
constexpr std::uint64_t least_both_ways = 64 * kibi;

/// Values of the parameter host_memory.
constexpr const char* pinned = "pinned";
constexpr const char* pageable = "pageable";

/// One message size and direction.
struct Series {
  std::uint64_t message;
  bool both_ways;
};

std::vector<Series> series_of(const Options& options) {
  const std::string& text = options.value("link-sizes");
  const bool quick = options.profile == Profile::quick;
  if (text == "auto" && quick) return {{granularity, false}, {mebi, true}};
  std::set<std::uint64_t> sizes;
  if (text == "auto") sizes = {granularity, mebi, 16 * mebi};
  for (const std::string& word : text == "auto" ? std::vector<std::string>{} : split_list(text, "--link-sizes")) {
    const std::uint64_t bytes = parse_bytes(word, "--link-sizes");
    if (bytes == 0 || bytes % granularity != 0) {
      throw usage_error(fmt::format("--link-sizes: '{}' is no multiple of 8B", printable(word)));
    }
    if (!sizes.insert(bytes).second) {
      throw usage_error(fmt::format("--link-sizes '{}' names a size twice", printable(text)));
    }
  }
  std::vector<Series> series;
  for (const std::uint64_t size : sizes) {
    series.push_back({size, false});
    if (size >= least_both_ways) series.push_back({size, true});
  }
  return series;
}

std::string skip_for_memory(double needed, const Platform& platform) {
  const auto available = static_cast<double>(platform.memory_available);
  if (platform.memory_available == 0 || needed <= available) return {};
  return fmt::format("needs {} of memory a rank, {} are available", format_bytes(needed), format_bytes(available));
}

/// Why nobody meets anybody; empty: some do.
std::string skip_for_partners(const Endpoints& endpoints, const Platform& platform) {
  if (platform.topology.size() < 2) return "needs at least 2 ranks";
  return endpoints.size() < 2 ? "needs at least 2 nodes; --links-between ranks takes the ranks of one" : "";
}

/// `skip`: why nobody meets anybody, or empty.
Case pair_case(const Series& series, const char* stage, int number, int digits, const std::string& skip,
               const Platform& platform) {
  Case made;
  const char* const direction = series.both_ways ? "both-ways" : "one-way";
  made.name = fmt::format("links/{}/{}/{}-{:0{}}", exact_bytes(series.message), direction, stage, number, digits);
  made.pairs = true;
  made.parameters = {
      {"direction", std::string(direction)}, {"stage", std::string(stage)}, {"number", std::int64_t{number}}};
  const auto bytes = static_cast<double>(series.message);
  made.work.bytes = 2.0 * bytes;
  made.work.message_size = static_cast<std::int64_t>(series.message);
  // One way: a step is a message there and one back, of S bytes each: S / (t / 2). Both ways: S / t each way.
  const double messages = series.both_ways ? 1.0 : 2.0;
  const Figure latency{"latency", "us", Figure::Kind::time, 1e6 / messages};
  const Figure bandwidth{"bandwidth", "GB/s", Figure::Kind::rate, messages * bytes / 1e9};
  const bool by_latency = series.message < least_both_ways;
  made.figures = by_latency ? std::vector{latency, bandwidth} : std::vector{bandwidth, latency};
  made.skip_reason = skip.empty() ? skip_for_memory(16.0 * bytes, platform) : skip;
  return made;
}

/// memory: of the host's side; empty: it has none, or the device is the host.
Case copy_case(const char* kind, const char* memory, std::uint64_t bytes, double moved, const Platform& platform) {
  Case made;
  const std::string host_memory(memory);
  // Pinned memory is what its name leaves out.
  const char* const suffix = host_memory == pageable ? "-pageable" : "";
  made.name = fmt::format("links/{}{}/{}", kind, suffix, exact_bytes(bytes));
  made.parameters = {{"copy", std::string(kind)}, {"copied_bytes", static_cast<std::int64_t>(bytes)}};
  if (!host_memory.empty()) made.parameters.set("host_memory", host_memory);
  made.work.bytes = moved * static_cast<double>(bytes);
  made.figures = {{"bandwidth", "GB/s", Figure::Kind::rate, made.work.bytes / 1e9}};
  made.skip_reason = skip_for_memory(4.0 * static_cast<double>(bytes), platform);
  return made;
}

HostMemory host_memory_of(const Case& which) {
  const bool is_named = which.parameters.find("host_memory") != nullptr;
  return is_named && which.parameters.text("host_memory") == pageable ? HostMemory::pageable : HostMemory::pinned;
}

/// Within the device, and between it and the host.
void add_copies(std::uint64_t bytes, const Platform& platform, std::vector<Case>& cases) {
  const bool is_host = platform.device == "host";
  const char* const best = is_host ? "" : pinned;
  // Read and written: two bytes moved for each that is copied within the device.
  cases.push_back(copy_case("device-copy", "", bytes, 2.0, platform));
  cases.push_back(copy_case("host-to-device", best, bytes, 1.0, platform));
  cases.push_back(copy_case("device-to-host", best, bytes, 1.0, platform));
  if (is_host) return;
  cases.push_back(copy_case("host-to-device", pageable, bytes, 1.0, platform));
  cases.push_back(copy_case("device-to-host", pageable, bytes, 1.0, platform));
}

/// GPUs have links of their own: each is met, unless it is told otherwise.
std::string scope_of(const Options& options, const Platform& platform) {
  const std::string& scope = options.value("links-between");
  return scope == "auto" && platform.device != "host" ? "ranks" : scope;
}

double link_floor_of(const Options& options) {
  return parse_percent(options.value(stats::link_floor_option), "--link-floor", stats::PairOptions{}.link_floor);
}

CopyKind parse_copy(const std::string& text) {
  if (text == "device-copy") return CopyKind::device;
  return text == "host-to-device" ? CopyKind::to_device : CopyKind::to_host;
}

class LinksSuite final : public Suite {
 public:
  [[nodiscard]] std::string name() const override { return "links"; }
  [[nodiscard]] std::string description() const override {
    return "every pair of nodes or ranks: latency and bandwidth, and which link or node is slow; memory copies";
  }
  [[nodiscard]] std::vector<OptionSpec> options() const override {
    return {{"links-between",
             "who meets whom: nodes (one rank each), ranks (all of them); auto: nodes where there are 4 or more, of "
             "GPUs ranks",
             "auto"},
            {"link-sizes", "message sizes, comma-separated; auto: 8B,1MiB (accept: 8B,1MiB,16MiB)", "auto"},
            {stats::link_floor_option, "a link less slow than this beside the others is no fault, at most 10%", "10%"}};
  }

  [[nodiscard]] std::vector<Case> cases(const Options& options, const Platform& platform) const override {
    const Endpoints endpoints = links::choose_endpoints(scope_of(options, platform), platform.topology);
    (void)link_floor_of(options);
    const int n = endpoints.size();
    const bool quick = options.profile == Profile::quick;
    const bool judged = n >= stats::fewest_endpoints;
    // A slow link takes three repetitions, those of several that share no endpoint the same three.
    const int again = !judged ? 0 : quick ? 4 : 9;
    const int apart = !judged ? 0 : quick ? 4 : 12;
    const int rounds = std::max(1, planned_round_count(n) * (judged ? links::passes_of(n) : 1));
    const int digits = static_cast<int>(fmt::formatted_size("{}", rounds - 1));
    const std::string skip = skip_for_partners(endpoints, platform);
    std::vector<Case> made;
    const std::vector<Series> all = series_of(options);
    for (const Series& series : all) {
      for (int i = 0; i < rounds; ++i) made.push_back(pair_case(series, "round", i, digits, skip, platform));
    }
    for (const Series& series : all) {
      for (int i = 0; i < again; ++i) made.push_back(pair_case(series, "again", i, 1, skip, platform));
    }
    for (const Series& series : all) {
      for (int i = 0; i < apart; ++i) made.push_back(pair_case(series, "apart", i, 1, skip, platform));
    }
    for (const std::uint64_t bytes : quick ? std::vector{128 * mebi} : std::vector{128 * mebi, 512 * mebi}) {
      add_copies(bytes, platform, made);
    }
    return made;
  }

  /// What is repeated follows from the rounds, and what is driven apart from both.
  [[nodiscard]] bool keeps_order() const override { return true; }

  [[nodiscard]] std::unique_ptr<SuiteSession> begin(const Options& options, const Platform& platform) const override {
    return std::make_unique<LinksSession>(links::choose_endpoints(scope_of(options, platform), platform.topology),
                                          options.seed, link_floor_of(options));
  }

  [[nodiscard]] std::string reason_to_skip(const Case& which, const Context& context) const override {
    if (which.pairs) return session_of(context).reason_to_skip(which);
    const bool between_memories = parse_copy(which.parameters.text("copy")) != CopyKind::device;
    return between_memories && context.device.is_host() ? "the device is the host: there is no link between them" : "";
  }

  [[nodiscard]] std::unique_ptr<Workload> make(const Case& which, const Context& context) const override {
    if (!which.pairs) {
      return std::make_unique<CopyWorkload>(parse_copy(which.parameters.text("copy")), host_memory_of(which),
                                            static_cast<std::uint64_t>(which.parameters.integer("copied_bytes")),
                                            context);
    }
    LinksSession& session = session_of(context);
    const std::vector<int> partner = session.partners(which, context.collective.size());
    return std::make_unique<PairWorkload>(
        static_cast<std::uint64_t>(which.work.message_size), links::parse_direction(which.parameters.text("direction")),
        partner[static_cast<std::size_t>(context.collective.rank())], session, context);
  }

 private:
  static LinksSession& session_of(const Context& context) {
    auto* const session = dynamic_cast<LinksSession*>(context.session);
    if (session == nullptr)
      throw Error(ExitCode::internal, "links", 0, "", "the suite was given no session of its own");
    return *session;
  }
};

}  // namespace

std::unique_ptr<Suite> make_links_suite();
std::unique_ptr<Suite> make_links_suite() { return std::make_unique<LinksSuite>(); }

}  // namespace rackproof

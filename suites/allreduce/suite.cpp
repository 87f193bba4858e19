#include "suites/suite.hpp"

#include <memory>

#include "suites/allreduce/cases.hpp"
#include "suites/allreduce/workload.hpp"

namespace rackproof {
namespace {

class AllReduceSuite final : public Suite {
 public:
  [[nodiscard]] std::string name() const override { return "allreduce"; }
  [[nodiscard]] std::string description() const override {
    return "all-reduce, and other collectives where asked: latency and bandwidth of one at a time, from a common start";
  }
  [[nodiscard]] std::vector<OptionSpec> options() const override { return allreduce::option_specs(); }
  [[nodiscard]] std::vector<Case> cases(const Options& options, const Platform& platform) const override {
    return allreduce::make_cases(options, platform);
  }
  [[nodiscard]] std::string reason_to_skip(const Case& which, const Context& context) const override {
    const allreduce::Spec spec = allreduce::spec_of(which, context.platform.topology);
    const Collective& collective = allreduce::collective_of(spec, context);
    if (spec.registered && !collective.can_register()) {
      return collective.implementation() + " knows no registered memory";
    }
    return allreduce::reduces(spec.operation) ? collective.refuses(spec.type, spec.reduction) : "";
  }
  [[nodiscard]] std::unique_ptr<Workload> make(const Case& which, const Context& context) const override {
    return std::make_unique<allreduce::CollectiveWorkload>(allreduce::spec_of(which, context.platform.topology),
                                                           context);
  }
};

}  // namespace

std::unique_ptr<Suite> make_allreduce_suite();
std::unique_ptr<Suite> make_allreduce_suite() { return std::make_unique<AllReduceSuite>(); }

}  // namespace rackproof

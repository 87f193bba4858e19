#include "suites/tokens/workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "common/core/digest.hpp"
#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "suites/tokens/engine.hpp"
#include "suites/tokens/reference.hpp"

namespace rackproof::tokens {
namespace {

/// Multiplications up to which the fp64 reference is affordable: about a second.
constexpr double reference_limit = 5e8;

/// Single steps that check a prefill.
constexpr std::int64_t incremental_steps = 8;

using Tokens = std::vector<std::int32_t>;
using Logits = std::span<const float>;

/// Collects the worst of several comparisons. NaN is worse than any number.
class Judge {
 public:
  explicit Judge(double tolerance) : tolerance_(tolerance) {}

  /// Logits [first, first + count) of one sequence, of which this rank answers for.
  template <typename Expected>
  void compare(Logits got, std::span<const Expected> expected, std::size_t first, std::size_t count,
               const std::string& against) {
    double squares = 0.0;
    for (const auto value : expected) squares += static_cast<double>(value) * static_cast<double>(value);
    const double allowed = tolerance_ * std::sqrt(squares / static_cast<double>(expected.size()));
    double worst = 0.0;
    std::size_t where = first;
    for (std::size_t i = first; i < first + count; ++i) {
      const double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(expected[i])) / allowed;
      if (!(error <= worst)) {
        worst = error;
        where = i;
        if (std::isnan(error)) break;
      }
    }
    take(worst, fmt::format("the timed logits differ from {}: token {} has {}, expected {}, {} times the tolerance",
                            against, where, format_number(got[where]),
                            format_number(static_cast<double>(expected[where])), format_number(worst)));
  }

  void fail(const std::string& detail) { take(HUGE_VAL, detail); }
  void take(double error, const std::string& detail) {
    if (error <= error_) return;
    if (std::isnan(error_)) return;
    error_ = error;
    detail_ = detail;
  }

  [[nodiscard]] double error() const { return error_; }
  [[nodiscard]] const std::string& detail() const { return detail_; }
  [[nodiscard]] double tolerance() const { return tolerance_; }

 private:
  double tolerance_;
  double error_ = 0.0;
  std::string detail_;
};

class TokensWorkload : public Workload {
 public:
  TokensWorkload(Device& device, std::unique_ptr<Collective> group, const Plan& plan)
      : device_(device),
        group_(std::move(group)),
        plan_(plan),
        engine_(device, group_.get(),
                {.shape = plan.shape,
                 .type = plan.type,
                 .seed = plan.seed,
                 .batch = plan.batch,
                 .capacity = plan.capacity(),
                 .packed_for = plan.batch * plan.capacity()}),
        timer_(device.make_timer()) {
    for (std::int64_t sequence = 0; sequence < plan.batch; ++sequence) {
      Tokens tokens = make_prompt(plan.shape, plan.seed, sequence, plan.length);
      tokens.resize(static_cast<std::size_t>(plan.capacity() + 1), unknown);
      sequences_.push_back(std::move(tokens));
    }
  }

  [[nodiscard]] bool is_collective() const final { return plan_.has_peers; }

  /// From the tokens' way to the device until the candidates are found.
  [[nodiscard]] double device_seconds() final {
    return timer_ != nullptr ? timer_->seconds() : std::numeric_limits<double>::quiet_NaN();
  }

  Verification verify() final {
    const std::vector<float> timed = engine_.logits();
    Judge judge(logit_tolerance(plan_.shape, plan_.type));
    check_choice(timed, judge);
    check_reference(timed, judge);
    check_other_way(timed, judge);
    const std::string left_out = check_alone(timed, judge);

    Verification result;
    result.error = judge.error();
    result.outcome = rackproof::judge(judge.error());
    result.detail = result.outcome == Verification::Outcome::failed ? judge.detail() : left_out;
    result.digest = digest(std::as_bytes(std::span(timed)));
    result.digest_is_shared = plan_.digest_is_shared;
    return result;
  }

 protected:
  static constexpr std::int32_t unknown = -1;

  /// Tokens [first, first + length) of every sequence, [batch, length].
  [[nodiscard]] Tokens stretch(std::int64_t first, std::int64_t length) const {
    Tokens tokens;
    for (const Tokens& sequence : sequences_) {
      tokens.insert(tokens.end(), sequence.begin() + first, sequence.begin() + first + length);
    }
    return tokens;
  }

  /// Chooses the token at `position` of every sequence from the candidates found last. A step that is repeated
  /// must choose as it did before.
  void choose(std::int64_t position) {
    const std::int64_t count = plan_.sampling.candidates();
    const std::vector<Candidate> all = engine_.fetch_candidates(count);
    for (std::int64_t sequence = 0; sequence < plan_.batch; ++sequence) {
      std::vector<Candidate> own;
      for (int rank = 0; rank < engine_.ranks(); ++rank) {
        const auto from = all.begin() + (rank * plan_.batch + sequence) * count;
        own.insert(own.end(), from, from + count);
      }
      const std::int32_t token = choose_token(std::move(own), plan_.sampling, sequence, position);
      std::int32_t& known = sequences_[static_cast<std::size_t>(sequence)][static_cast<std::size_t>(position)];
      if (known != unknown && known != token) ++changed_tokens_;
      known = token;
    }
  }

  /// Tokens that led to the timed logits; the one chosen from them follows.
  [[nodiscard]] virtual std::int64_t position() const = 0;
  /// Runs the same tokens through the engine by the other of the two ways, leaving the logits after the last.
  /// The phase is named in other_way().
  virtual void run_other_way(const std::function<void(std::int64_t)>& after_position) = 0;
  [[nodiscard]] virtual const char* other_way() const = 0;

  Device& device_;
  std::unique_ptr<Collective> group_;
  Plan plan_;
  Engine engine_;
  std::unique_ptr<DeviceTimer> timer_;  ///< null where the device keeps no time
  std::vector<Tokens> sequences_;       ///< prompt, then what was chosen

 private:
  [[nodiscard]] Logits row_of(const std::vector<float>& logits, std::int64_t sequence) const {
    const auto vocabulary = static_cast<std::size_t>(plan_.shape.vocabulary);
    return Logits(logits).subspan(static_cast<std::size_t>(sequence) * vocabulary, vocabulary);
  }

  /// This rank answers for its own part of the vocabulary, so that a fault in one head names its rank.
  template <typename Expected>
  void compare(Logits got, std::span<const Expected> expected, const std::string& against, Judge& judge) const {
    const std::size_t part = got.size() / static_cast<std::size_t>(engine_.ranks());
    judge.compare(got, expected, part * static_cast<std::size_t>(group_->rank()), part, against);
  }

  /// The token must follow from the logits by the slow way of choosing, and repeated steps must agree.
  void check_choice(const std::vector<float>& timed, Judge& judge) const {
    if (changed_tokens_ > 0) {
      judge.fail(fmt::format("the same step chose another token when it was repeated, {} times", changed_tokens_));
    }
    for (std::int64_t sequence = 0; sequence < plan_.batch; ++sequence) {
      const Logits row = row_of(timed, sequence);
      const std::int32_t expected =
          choose_token(largest_logits(row, plan_.sampling.candidates()), plan_.sampling, sequence, position());
      const std::int32_t got = sequences_[static_cast<std::size_t>(sequence)][static_cast<std::size_t>(position())];
      if (got != expected) {
        judge.fail(fmt::format("the timed step chose token {}, its logits call for {}", got, expected));
      }
    }
  }

  /// Small models: the timed logits against the fp64 reference, and each token that greedy steps chose must be as good
  /// as the reference's best, within the tolerance of two logits.
  void check_reference(const std::vector<float>& timed, Judge& judge) {
    const ModelShape& shape = plan_.shape;
    if (static_cast<double>(plan_.batch) * Reference::work(shape, position()) > reference_limit) return;
    const Reference reference(WeightSource(shape, plan_.seed), plan_.type);
    const auto vocabulary = static_cast<std::size_t>(shape.vocabulary);
    reference_logits_.clear();
    for (std::int64_t sequence = 0; sequence < plan_.batch; ++sequence) {
      const Tokens& tokens = sequences_[static_cast<std::size_t>(sequence)];
      reference_logits_.push_back(reference.logits(std::span(tokens).first(static_cast<std::size_t>(position()))));
      const std::span<const double> all(reference_logits_.back());
      compare(row_of(timed, sequence), all.last(vocabulary), "the fp64 reference", judge);
      if (!plan_.sampling.greedy) continue;
      for (std::int64_t at = plan_.length; at <= position(); ++at) {
        const auto row = all.subspan(static_cast<std::size_t>(at - 1) * vocabulary, vocabulary);
        double squares = 0.0;
        for (const double value : row) squares += value * value;
        const double allowed = 2.0 * judge.tolerance() * std::sqrt(squares / static_cast<double>(vocabulary));
        const std::int32_t token = tokens[static_cast<std::size_t>(at)];
        const double lost = *std::max_element(row.begin(), row.end()) - row[static_cast<std::size_t>(token)];
        judge.take(lost / allowed, fmt::format("the token chosen at position {} is not the fp64 reference's best", at));
      }
    }
  }

  /// Prefill against incremental decode.
  void check_other_way(const std::vector<float>& timed, Judge& judge) {
    const auto vocabulary = static_cast<std::size_t>(plan_.shape.vocabulary);
    run_other_way([&](std::int64_t done) {
      if (reference_logits_.empty()) return;
      const std::vector<float> logits = engine_.logits();
      for (std::int64_t sequence = 0; sequence < plan_.batch; ++sequence) {
        const std::span<const double> all(reference_logits_[static_cast<std::size_t>(sequence)]);
        compare(row_of(logits, sequence), all.subspan(static_cast<std::size_t>(done - 1) * vocabulary, vocabulary),
                fmt::format("the fp64 reference, after {}", other_way()), judge);
      }
    });
    const std::vector<float> other = engine_.logits();
    for (std::int64_t sequence = 0; sequence < plan_.batch; ++sequence) {
      compare(row_of(timed, sequence), row_of(other, sequence), other_way(), judge);
    }
  }

  /// TP = n against TP = 1: the first rank builds the whole model alone, if it can. Returns why it was left out.
  std::string check_alone(const std::vector<float>& timed, Judge& judge) {
    if (group_->size() == 1) return {};
    std::vector<float> alone(timed.size());
    const Plan whole{.shape = plan_.shape,
                     .type = plan_.type,
                     .phase = Phase::prefill,
                     .batch = plan_.batch,
                     .length = position(),
                     .seed = plan_.seed,
                     .sampling = {}};
    const double needed = memory_needed(whole, 1).total();
    double available = 0.0;
    std::unique_ptr<Buffer> buffer;
    // The others wait for long, among the hosts: a collective would be waited for with a deadline.
    agree(*group_, [&] {
      buffer = device_.allocate(alone.size() * sizeof(float));
      if (group_->rank() != 0) return;
      available = static_cast<double>(device_.memory_available());
      if (needed > available) return;
      Engine engine(device_, nullptr,
                    {.shape = whole.shape,
                     .type = whole.type,
                     .seed = whole.seed,
                     .batch = whole.batch,
                     .capacity = whole.capacity(),
                     .packed_for = whole.batch * whole.capacity()});
      engine.forward(stretch(0, position()), position(), 0);
      alone = engine.logits();
      device_.copy_to_device(buffer->data(), alone.data(), buffer->bytes());
    });
    if (const mpi::Communicator* ranks = group_->ranks()) ranks->broadcast(std::span(&available, 1));
    if (needed > available) {
      return fmt::format("checked by {} alone: the whole model on one rank needs {}, {} are available", other_way(),
                         format_bytes(needed), format_bytes(available));
    }
    group_->broadcast(buffer->data(), alone.size(), DataType::f32, 0);
    device_.copy_to_host(alone.data(), buffer->data(), alone.size() * sizeof(float));
    for (std::int64_t sequence = 0; sequence < plan_.batch; ++sequence) {
      compare(row_of(timed, sequence), row_of(alone, sequence), "the whole model on one rank", judge);
    }
    return {};
  }

  std::int64_t changed_tokens_ = 0;
  std::vector<std::vector<double>> reference_logits_;  ///< by sequence; empty where the model is too large
};

/// A step: a prompt of each sequence goes in, the first token of each comes out.
class Prefill final : public TokensWorkload {
 public:
  Prefill(Device& device, std::unique_ptr<Collective> group, const Plan& plan)
      : TokensWorkload(device, std::move(group), plan), prompts_(stretch(0, plan.length)) {}

  void step() override {
    if (timer_ != nullptr) timer_->begin();
    engine_.forward(prompts_, plan_.length, 0);
    engine_.find_candidates(plan_.sampling.candidates());
    if (timer_ != nullptr) timer_->end();
    choose(plan_.length);
  }

 private:
  [[nodiscard]] std::int64_t position() const override { return plan_.length; }

  void run_other_way(const std::function<void(std::int64_t)>& after_position) override {
    const std::int64_t first = std::max<std::int64_t>(plan_.length - incremental_steps, 1);
    engine_.forward(stretch(0, first), first, 0);
    after_position(first);
    for (std::int64_t at = first; at < plan_.length; ++at) {
      engine_.forward(stretch(at, 1), 1, at);
      after_position(at + 1);
    }
  }
  [[nodiscard]] const char* other_way() const override { return "prefill and incremental decode of the same prompt"; }

  Tokens prompts_;
};

/// A step: the token chosen last goes in, the next comes out; the context grows by one.
class Decode final : public TokensWorkload {
 public:
  Decode(Device& device, std::unique_ptr<Collective> group, const Plan& plan)
      : TokensWorkload(device, std::move(group), plan), position_(plan.length) {
    engine_.forward(stretch(0, plan.length), plan.length, 0);
    engine_.find_candidates(plan.sampling.candidates());
    choose(plan.length);
    for (std::int64_t at = plan.length; at < plan.capacity(); ++at) {
      engine_.record_advance(at, plan.sampling.candidates());
    }
  }

  /// What the cache holds beyond the position is written again before it is read.
  void prepare() override {
    if (position_ == plan_.capacity()) position_ = plan_.length;
  }

  void step() override {
    if (timer_ != nullptr) timer_->begin();
    engine_.advance(stretch(position_, 1), position_, plan_.sampling.candidates());
    if (timer_ != nullptr) timer_->end();
    ++position_;
    choose(position_);
  }

 private:
  [[nodiscard]] std::int64_t position() const override { return position_; }

  void run_other_way(const std::function<void(std::int64_t)>& after_position) override {
    engine_.forward(stretch(0, position_), position_, 0);
    after_position(position_);
  }
  [[nodiscard]] const char* other_way() const override { return "one prefill of the whole sequence"; }

  std::int64_t position_;
};

}  // namespace

Memory memory_needed(const Plan& plan, std::int64_t tp) {
  return memory_needed(plan.shape, Launch{.type = plan.type,
                                          .tp = tp,
                                          .batch = plan.batch,
                                          .capacity = plan.capacity(),
                                          .rows = plan.batch * plan.capacity()});
}

double logit_tolerance(const ModelShape& shape, DataType type) {
  const double roundoff = type == DataType::bf16 ? 0x1p-9 : 0x1p-24 * std::sqrt(static_cast<double>(shape.hidden));
  return 8.0 * roundoff * std::sqrt(6.0 * static_cast<double>(shape.layers) + 2.0);
}

std::unique_ptr<Workload> make_workload(Device& device, std::unique_ptr<Collective> group, const Plan& plan) {
  if (plan.phase == Phase::prefill) return std::make_unique<Prefill>(device, std::move(group), plan);
  return std::make_unique<Decode>(device, std::move(group), plan);
}

}  // namespace rackproof::tokens

// Limits files: what is refused, and those that come with rackproof.
#include "results/limits.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Keys = std::map<std::string, std::string>;

Keys good_keys() {
  return {{"name", "'bf16'"},    {"case", "'^gemm/f32'"},  {"figure", "'rate'"},
          {"unit", "'TFLOP/s'"}, {"scope", "'device'"},    {"min", "1.5"},
          {"spec", "2.0"},       {"source", "'somebody'"}, {"condition", "'when'"}};
}

std::string text_of(const Keys& keys, const std::string& head = "name = 'x'\ndescription = 'y'\n") {
  std::string text = head + "[[limit]]\n";
  for (const auto& [key, value] : keys) text += key + " = " + value + "\n";
  return text;
}

/// The good limit with one key changed; an empty value: left out.
std::string with(const std::string& key, const std::string& value) {
  Keys keys = good_keys();
  if (value.empty()) {
    keys.erase(key);
  } else {
    keys[key] = value;
  }
  return text_of(keys);
}

std::string refused(const std::string& text) {
  return error_of(ExitCode::usage, [&] { (void)parse_limits(text, "site.toml"); });
}

TEST(Limits, reads_every_key) {
  Keys keys = good_keys();
  keys["optional"] = "true";
  keys["reason"] = "'not everywhere'";
  keys["spec_source"] = "'data sheet'";
  keys["parameters"] = "{ type = 'f32', m = 1000 }";
  const LimitSet set = parse_limits(text_of(keys, "name = 'x'\ndescription = 'y'\ndevice = 'H100'\n"), "site.toml");
  ASSERT_THAT(set.limits, SizeIs(1));
  const Limit& limit = set.limits.front();
  EXPECT_EQ(set.device, "H100");
  EXPECT_EQ(limit.bound, Limit::Bound::least);
  EXPECT_EQ(limit.value, 1.5);
  EXPECT_EQ(limit.spec, 2.0);
  EXPECT_EQ(limit.spec_source, "data sheet");
  EXPECT_EQ(limit.parameters.at("m"), "1000");
  EXPECT_TRUE(limit.optional);
}

TEST(Limits, refuses_each_mistake_and_names_file_and_limit) {
  EXPECT_THAT(refused("= 1"), AllOf(HasSubstr("site.toml"), HasSubstr("line 1")));
  EXPECT_THAT(refused("name = 'x'\ndescription = 'y'\n"), HasSubstr("no [[limit]]"));
  EXPECT_THAT(refused("name = 'x'\n"), HasSubstr("'description' is missing"));
  EXPECT_THAT(refused(text_of(good_keys(), "name = 'x'\ndescription = 'y'\nlimits = 3\n")),
              HasSubstr("unknown key 'limits'"));
  EXPECT_THAT(refused(with("minimum", "3")), AllOf(HasSubstr("limit 'bf16'"), HasSubstr("unknown key 'minimum'")));
  EXPECT_THAT(refused(with("min", "'1.5'")), HasSubstr("'min' must be a number"));
  EXPECT_THAT(refused(with("min", "0")), HasSubstr("'min' must be above 0"));
  EXPECT_THAT(refused(with("min", "nan")), HasSubstr("'min' must be above 0"));
  EXPECT_THAT(refused(with("min", "")), HasSubstr("one of min and max"));
  EXPECT_THAT(refused(with("max", "2.5")), HasSubstr("one of min and max"));
  EXPECT_THAT(refused(with("scope", "'switch'")), HasSubstr("none of device, node, link, rack"));
  EXPECT_THAT(refused(with("case", "'('")), HasSubstr("no regular expression"));
  EXPECT_THAT(refused(with("case", "7")), HasSubstr("'case' must be a text"));
  EXPECT_THAT(refused(with("source", "")), HasSubstr("'source' is missing"));
  EXPECT_THAT(refused(with("source", "''")), HasSubstr("'source' is empty"));
  EXPECT_THAT(refused(with("condition", "")), HasSubstr("'condition' is missing"));
  EXPECT_THAT(refused(with("spec", "")), HasSubstr("'spec' is missing"));
  EXPECT_THAT(refused(with("optional", "true")), HasSubstr("optional without a reason"));
  EXPECT_THAT(refused(with("optional", "1")), HasSubstr("true or false"));
  EXPECT_THAT(refused(with("reason", "'so'")), HasSubstr("is not optional"));
  EXPECT_THAT(refused(with("parameters", "3")), HasSubstr("must be a table"));
  EXPECT_THAT(refused(with("parameters", "{ m = [1] }")), HasSubstr("a text or a number"));
  EXPECT_THAT(refused(with("min", "0.99")), HasSubstr("below half of the specification"));
  EXPECT_THAT(refused(with("min", "2.01")), HasSubstr("above the specification"));
  Keys most = good_keys();
  most.erase("min");
  most["max"] = "4.1";
  EXPECT_THAT(refused(text_of(most)), HasSubstr("above twice the specification"));
  most["max"] = "1.9";
  EXPECT_THAT(refused(text_of(most)), HasSubstr("below the specification"));
  EXPECT_THAT(refused(text_of(good_keys()) + text_of(good_keys(), "")), HasSubstr("two limits are called 'bf16'"));
  EXPECT_THAT(error_of(ExitCode::usage, [] { (void)load_limits("no/such.toml"); }), HasSubstr("cannot be read"));
  EXPECT_THAT(error_of(ExitCode::usage, [] { (void)load_limits("h1000"); }), HasSubstr("no limits called 'h1000'"));
}

std::string unmatched(const std::string& text) {
  const LimitSet set = parse_limits(text, "site.toml");
  return error_of(ExitCode::usage, [&] { (void)match_limits(set, testing::example_header(), "run.h5"); });
}

TEST(Limits, match_cases_by_name_and_parameters_and_become_times) {
  const LimitSet set = parse_limits(text_of(good_keys()), "site.toml");
  const auto matched = match_limits(set, testing::example_header(), "run.h5");
  ASSERT_THAT(matched, SizeIs(1));
  ASSERT_THAT(matched[0], SizeIs(1));
  // 2e-3 TFLOP a step, at least 1.5 TFLOP/s.
  EXPECT_DOUBLE_EQ(matched[0][0].time.seconds, 2e-3 / 1.5);
  EXPECT_TRUE(matched[0][0].time.longer);
  Keys latency = good_keys();
  latency["case"] = "'^allreduce/f32/sum/8B'";
  latency["figure"] = "'latency'";
  latency["unit"] = "'us'";
  latency["scope"] = "'rack'";
  const auto times = match_limits(parse_limits(text_of(latency), "x"), testing::example_header(), "run.h5");
  EXPECT_DOUBLE_EQ(times[0][0].time.seconds, 1.5e-6);
  EXPECT_FALSE(times[0][0].time.longer) << "a least time";
}

TEST(Limits, that_do_not_fit_the_run_are_refused) {
  EXPECT_THAT(unmatched(with("case", "'^gemm/f16'")),
              AllOf(HasSubstr("run.h5"), HasSubstr("no case matches '^gemm/f16'")));
  EXPECT_THAT(unmatched(with("parameters", "{ m = 7 }")), HasSubstr("no case matches"));
  EXPECT_THAT(unmatched(with("unit", "'GFLOP/s'")), HasSubstr("has the unit 'TFLOP/s', not 'GFLOP/s'"));
  EXPECT_THAT(unmatched(with("figure", "'speed'")),
              AllOf(HasSubstr("no figure 'speed'"), HasSubstr("rate, of_peak, time")));
  EXPECT_THAT(unmatched(with("scope", "'link'")), HasSubstr("cannot be link"));
  Keys collective = good_keys();
  collective["case"] = "'^allreduce/f32/sum/8B'";
  collective["figure"] = "'busbw'";
  collective["unit"] = "'GB/s'";
  EXPECT_THAT(unmatched(text_of(collective)), HasSubstr("its scope is rack, not device"));
  collective["scope"] = "'node'";
  EXPECT_THAT(unmatched(text_of(collective)), HasSubstr("its scope is rack, not node"));
  EXPECT_THAT(unmatched(text_of(good_keys(), "name = 'x'\ndescription = 'y'\ndevice = 'H100'\n")),
              AllOf(HasSubstr("are for devices called 'H100'"), HasSubstr("Example CPU")));
}

TEST(Limits, that_are_optional_may_lack_cases) {
  Keys keys = good_keys();
  keys["case"] = "'^gemm/f16'";
  keys["optional"] = "true";
  keys["reason"] = "'not everywhere'";
  const auto matched = match_limits(parse_limits(text_of(keys), "x"), testing::example_header(), "run.h5");
  EXPECT_THAT(matched[0], IsEmpty());
}

TEST(Limits, all_that_come_with_rackproof_are_read_and_every_value_has_a_source_and_a_condition) {
  const std::filesystem::path folder = std::filesystem::path(RACKPROOF_SOURCE_DIR) / "results/limits";
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path().string());
    ASSERT_EQ(entry.path().extension(), ".toml");
    const LimitSet set = load_limits(entry.path().string());
    EXPECT_EQ(set.name, entry.path().stem().string());
    found.push_back(set.name);
    // Those for GPUs are for one kind of them.
    EXPECT_EQ(set.device.empty(), set.name == "host");
    for (const Limit& limit : set.limits) {
      EXPECT_GE(limit.source.size(), 10U) << limit.name;
      EXPECT_GE(limit.condition.size(), 10U) << limit.name;
    }
  }
  EXPECT_THAT(found, ::testing::UnorderedElementsAre("h100-sxm", "h200-sxm", "gh200", "b200", "gb200-nvl72",
                                                     "gb300-nvl72", "host"));
}

TEST(Limits, for_gpus_know_the_names_that_these_gpus_have_and_no_others) {
  const std::map<std::string, std::string> names{
      {"h100-sxm", "NVIDIA H100 80GB HBM3"}, {"h200-sxm", "NVIDIA H200"},
      {"gh200", "NVIDIA GH200 480GB"},       {"b200", "NVIDIA B200"},
      {"gb200-nvl72", "NVIDIA GB200"},       {"gb300-nvl72", "NVIDIA GB300"}};
  for (const auto& [limits, own] : names) {
    const LimitSet set = load_limits(std::string(RACKPROOF_SOURCE_DIR) + "/results/limits/" + limits + ".toml");
    const std::regex pattern(set.device);
    for (const auto& [other, name] : names)
      EXPECT_EQ(std::regex_search(name, pattern), other == limits) << limits << name;
    for (const char* const name : {"NVIDIA H100 PCIe", "NVIDIA H200 NVL", "NVIDIA H100 NVL"}) {
      EXPECT_FALSE(std::regex_search(name, pattern)) << limits << " " << name;
    }
  }
}

TEST(Limits, the_plan_of_a_sequential_test_survives_the_file) {
  RunHeader header;
  EXPECT_FALSE(sequential_plan_of(header));
  header.provenance["configuration"] = "no JSON";
  EXPECT_FALSE(sequential_plan_of(header));
  header.provenance["configuration"] = R"({"sequential_test": {"producers_risk": 7}})";
  EXPECT_FALSE(sequential_plan_of(header));
  header.provenance["configuration"] = R"({"sequential_test": )" + to_json(sequential_plan(8)) + "}";
  const auto plan = sequential_plan_of(header);
  ASSERT_TRUE(plan);
  EXPECT_DOUBLE_EQ(plan->producers_risk, 0.01 / 8);
  EXPECT_DOUBLE_EQ(plan->consumers_risk, 0.01);
}

}  // namespace
}  // namespace rackproof::results

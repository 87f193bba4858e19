#include "results/limits.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "common/core/error.hpp"
#include "results/input_file.hpp"
#include "results/links.hpp"
#include "results/part_file.hpp"

namespace rackproof::results {
namespace {

/// A limits file is some hundred lines.
constexpr std::size_t largest_limits_file = 1 << 20;
constexpr std::size_t longest_expression = 400;
/// The key of `configuration` that has the plan.
constexpr const char* plan_key = "sequential_test";

constexpr std::array<std::pair<std::string_view, Limit::Scope>, 4> scopes{{{"device", Limit::Scope::device},
                                                                           {"node", Limit::Scope::node},
                                                                           {"link", Limit::Scope::link},
                                                                           {"rack", Limit::Scope::rack}}};
constexpr std::array<std::string_view, 4> file_keys{"name", "description", "device", "limit"};
constexpr std::array<std::string_view, 15> limit_keys{"name",        "case",      "parameters", "figure", "unit",
                                                      "scope",       "min",       "max",        "spec",   "source",
                                                      "spec_source", "condition", "optional",   "reason", "note"};

template <std::size_t N>
std::string listed(const std::array<std::string_view, N>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string short_text(std::string_view text) { return printable(text, 100); }

/// One table of the file, read key by key.
class TomlReader {
 public:
  /// where: "limits file 'x.toml', limit 'bf16'".
  TomlReader(const toml::table& table, std::string where) : table_(table), where_(std::move(where)) {}

  [[nodiscard]] Error fault(const std::string& what) const { return usage_error(fmt::format("{}: {}", where_, what)); }
  [[nodiscard]] bool has(std::string_view key) const { return table_.contains(key); }

  template <std::size_t N>
  void refuse_others(const std::array<std::string_view, N>& known) const {
    for (const auto& [key, value] : table_) {
      if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
      throw fault(fmt::format("unknown key '{}'; known are {}", short_text(key.str()), listed(known)));
    }
  }

  [[nodiscard]] std::string text(std::string_view key) const {
    if (!has(key)) throw fault(fmt::format("'{}' is missing", key));
    return text_or(key);
  }
  /// Empty where it is not there.
  [[nodiscard]] std::string text_or(std::string_view key) const {
    const toml::node* const node = table_.get(key);
    if (node == nullptr) return {};
    if (!node->is_string()) throw fault(fmt::format("'{}' must be a text", key));
    std::string value = **node->as_string();
    if (value.empty()) throw fault(fmt::format("'{}' is empty", key));
    return value;
  }
  [[nodiscard]] double number(std::string_view key) const {
    const toml::node* const node = table_.get(key);
    if (node == nullptr) throw fault(fmt::format("'{}' is missing", key));
    if (!node->is_number()) throw fault(fmt::format("'{}' must be a number", key));
    const double value = *node->value<double>();
    if (!std::isfinite(value) || value <= 0.0) throw fault(fmt::format("'{}' must be above 0", key));
    return value;
  }
  [[nodiscard]] bool flag(std::string_view key) const {
    const toml::node* const node = table_.get(key);
    if (node == nullptr) return false;
    if (!node->is_boolean()) throw fault(fmt::format("'{}' must be true or false", key));
    return **node->as_boolean();
  }
  [[nodiscard]] std::regex expression(std::string_view key) const {
    const std::string pattern = text(key);
    if (pattern.size() > longest_expression) throw fault(fmt::format("'{}' is too long", key));
    try {
      return std::regex(pattern);
    } catch (const std::regex_error&) {
      throw fault(fmt::format("'{}' is no regular expression: {}", key, short_text(pattern)));
    }
  }
  [[nodiscard]] std::map<std::string, std::string> parameters(std::string_view key) const {
    std::map<std::string, std::string> all;
    const toml::node* const node = table_.get(key);
    if (node == nullptr) return all;
    if (!node->is_table()) throw fault(fmt::format("'{}' must be a table, such as {{ type = \"bf16\" }}", key));
    for (const auto& [name, value] : *node->as_table()) {
      std::string wanted;
      if (value.is_string()) {
        wanted = **value.as_string();
      } else if (value.is_integer()) {
        wanted = fmt::format("{}", **value.as_integer());
      } else if (value.is_floating_point()) {
        wanted = rackproof::to_string(ParameterValue(**value.as_floating_point()));
      } else {
        throw fault(fmt::format("the parameter '{}' must be a text or a number", short_text(name.str())));
      }
      all.emplace(std::string(name.str()), std::move(wanted));
    }
    return all;
  }

 private:
  const toml::table& table_;
  std::string where_;
};

Limit::Scope scope_of(const TomlReader& reader) {
  const std::string text = reader.text("scope");
  for (const auto& [name, scope] : scopes) {
    if (name == text) return scope;
  }
  throw reader.fault(fmt::format("scope '{}' is none of device, node, link, rack", short_text(text)));
}

/// A limit that is far from the specification accepts anything; one on its other side accepts nothing.
void check_against_specification(const TomlReader& reader, const Limit& limit) {
  const std::string pair =
      fmt::format("{} {} with a specification of {} {}", limit.value, limit.unit, limit.spec, limit.unit);
  if (limit.bound == Limit::Bound::least) {
    if (limit.value < 0.5 * limit.spec)
      throw reader.fault("a min below half of the specification is no limit: " + pair);
    if (limit.value > limit.spec) throw reader.fault("a min above the specification cannot be kept: " + pair);
    return;
  }
  if (limit.value > 2.0 * limit.spec) throw reader.fault("a max above twice the specification is no limit: " + pair);
  if (limit.value < limit.spec) throw reader.fault("a max below the specification cannot be kept: " + pair);
}

Limit read_limit(const toml::table& table, const std::string& where) {
  const toml::node* const named = table.get("name");
  const std::string name = named != nullptr && named->is_string() ? **named->as_string() : "";
  const TomlReader reader(table, name.empty() ? where : fmt::format("{} '{}'", where, short_text(name)));
  reader.refuse_others(limit_keys);
  Limit limit;
  limit.name = reader.text("name");
  limit.cases = reader.text("case");
  limit.pattern = reader.expression("case");
  limit.parameters = reader.parameters("parameters");
  limit.figure = reader.text("figure");
  limit.unit = reader.text("unit");
  limit.scope = scope_of(reader);
  if (reader.has("min") == reader.has("max")) throw reader.fault("needs one of min and max");
  limit.bound = reader.has("min") ? Limit::Bound::least : Limit::Bound::most;
  limit.value = reader.number(reader.has("min") ? "min" : "max");
  limit.spec = reader.number("spec");
  limit.source = reader.text("source");
  limit.spec_source = reader.text_or("spec_source");
  limit.condition = reader.text("condition");
  limit.optional = reader.flag("optional");
  limit.reason = reader.text_or("reason");
  (void)reader.text_or("note");
  if (limit.optional && limit.reason.empty()) throw reader.fault("is optional without a reason");
  if (!limit.optional && !limit.reason.empty()) throw reader.fault("has a reason and is not optional");
  check_against_specification(reader, limit);
  return limit;
}

std::filesystem::path folder_of_program() {
  std::error_code failure;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failure);
  return failure ? std::filesystem::path() : program.parent_path();
}

bool is_bare_name(const std::string& name) { return name.find('/') == std::string::npos && !name.ends_with(".toml"); }

std::string read_limits_file(const std::filesystem::path& path) {
  return read_text_file(path, "the limits file", largest_limits_file);
}

// ---- matching ----

bool has_parameters(const CaseHeader& which, const std::map<std::string, std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& one) {
    const ParameterValue* const value = which.parameters.find(one.first);
    return value != nullptr && rackproof::to_string(*value) == one.second;
  });
}

/// Pairs that are driven apart have other conditions: few others beside them.
bool is_driven_apart(const CaseHeader& which) {
  const ParameterValue* const stage = which.parameters.find(schema::stage);
  return is_pair_case(which) && stage != nullptr && rackproof::to_string(*stage) == schema::stage_apart;
}

bool applies(const Limit& limit, const CaseHeader& which) {
  // The library's matcher recurses: no name that anybody gave a case is as long.
  constexpr std::size_t longest_name = 1000;
  return which.name.size() <= longest_name && !is_driven_apart(which) && std::regex_search(which.name, limit.pattern) &&
         has_parameters(which, limit.parameters);
}

/// Whether the ranks of every group of the case are those of one node.
bool is_within_nodes(const CaseHeader& which, const RunHeader& header) {
  const bool one_node = std::all_of(header.ranks.begin(), header.ranks.end(), [&](const RankHeader& rank) {
    return rank.node_index == header.ranks.front().node_index;
  });
  const ParameterValue* const groups = which.parameters.find("groups");
  return one_node || (groups != nullptr && rackproof::to_string(*groups) == "node");
}

/// Why the scope does not fit; empty where it does.
std::string scope_fault(const Limit& limit, const CaseHeader& which, bool pairs, const RunHeader& header) {
  const bool is_pair = pairs && is_pair_case(which);
  switch (limit.scope) {
    case Limit::Scope::device:
      if (which.collective) return "is one operation of all ranks: its scope is rack, not device";
      return is_pair ? "is of pairs of ranks: its scope is link, not device" : "";
    case Limit::Scope::node:
      if (is_pair) return "is of pairs of ranks: its scope is link, not node";
      if (which.collective && !is_within_nodes(which, header))
        return "is of all nodes together: its scope is rack, not node";
      return "";
    case Limit::Scope::link:
      return is_pair ? "" : "is not of pairs of ranks: its scope cannot be link";
    case Limit::Scope::rack:
      return is_pair ? "is of pairs of ranks: its scope is link, not rack" : "";
  }
  return "";
}

FigureHeader figure_of(const Limit& limit, const CaseHeader& which, const std::string& who) {
  if (limit.figure == "time") {
    if (limit.unit != "s")
      throw usage_error(fmt::format("{}: 'time' has the unit s, not '{}'", who, short_text(limit.unit)));
    return {"time", "s", FigureHeader::Kind::time, 1.0};
  }
  std::string known;
  for (const FigureHeader& figure : which.figures) {
    if (figure.name == limit.figure) {
      if (figure.unit != limit.unit) {
        throw usage_error(fmt::format("{}: '{}' of case '{}' has the unit '{}', not '{}'", who,
                                      short_text(limit.figure), short_text(which.name), short_text(figure.unit),
                                      short_text(limit.unit)));
      }
      if (!(figure.amount > 0.0)) break;
      return figure;
    }
    known += figure.name + ", ";
  }
  throw usage_error(fmt::format("{}: case '{}' has no figure '{}'; it has {}time", who, short_text(which.name),
                                short_text(limit.figure), short_text(known)));
}

TimeLimit time_limit(const Limit& limit, const FigureHeader& figure) {
  const bool least = limit.bound == Limit::Bound::least;
  // A least rate is a longest time; a least time is one.
  if (figure.kind == FigureHeader::Kind::rate) return {figure.amount / limit.value, least};
  return {limit.value / figure.amount, !least};
}

void check_devices(const LimitSet& set, const RunHeader& header, const std::string& where) {
  if (set.device.empty()) return;
  const std::regex wanted(set.device);
  for (std::size_t r = 0; r < header.ranks.size(); ++r) {
    const std::string& name = header.ranks[r].device_name;
    if (name.size() <= 1000 && std::regex_search(name, wanted)) continue;
    throw usage_error(fmt::format("{}: the limits of '{}' are for devices called '{}', and rank {} has '{}'", where,
                                  short_text(set.file), short_text(set.device), r, short_text(name)));
  }
}

}  // namespace

std::string_view to_string(Limit::Scope scope) {
  for (const auto& [name, value] : scopes) {
    if (value == scope) return name;
  }
  return "?";
}

LimitSet parse_limits(const std::string& text, const std::string& file) {
  const std::string where = fmt::format("limits file '{}'", printable(file));
  toml::table table;
  try {
    table = toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    throw usage_error(fmt::format("{}, line {}: {}", where, error.source().begin.line, printable(error.description())));
  }
  const TomlReader reader(table, where);
  reader.refuse_others(file_keys);
  LimitSet set;
  set.name = reader.text("name");
  set.file = file;
  set.description = reader.text("description");
  set.text = text;
  if (reader.has("device")) {
    (void)reader.expression("device");
    set.device = reader.text("device");
  }
  const toml::array* const list = table["limit"].as_array();
  if (list == nullptr || list->empty()) throw reader.fault("has no [[limit]]");
  std::set<std::string> names;
  for (const toml::node& node : *list) {
    if (!node.is_table()) throw reader.fault("'limit' must be tables: [[limit]]");
    Limit limit = read_limit(*node.as_table(), fmt::format("{}, limit", where));
    if (!names.insert(limit.name).second) {
      throw reader.fault(fmt::format("two limits are called '{}'", short_text(limit.name)));
    }
    set.limits.push_back(std::move(limit));
  }
  return set;
}

std::vector<std::filesystem::path> limits_folders() {
  const std::filesystem::path program = folder_of_program();
  if (program.empty()) return {};
  // As installed: PREFIX/bin; as built: SOURCES/build/PRESET.
  return {program / "../share/rackproof/limits", program / "../../results/limits"};
}

std::vector<std::string> known_limits() {
  std::set<std::string> names;
  for (const std::filesystem::path& folder : limits_folders()) {
    std::error_code failure;
    for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
      if (entry.path().extension() == ".toml") names.insert(entry.path().stem().string());
    }
  }
  return {names.begin(), names.end()};
}

LimitSet load_limits(const std::string& name_or_path) {
  if (!is_bare_name(name_or_path)) return parse_limits(read_limits_file(name_or_path), name_or_path);
  for (const std::filesystem::path& folder : limits_folders()) {
    const std::filesystem::path path = folder / (name_or_path + ".toml");
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path, ignored)) return parse_limits(read_limits_file(path), name_or_path);
  }
  throw usage_error(fmt::format("there are no limits called '{}'; known are {}; a file of your own is FILE.toml",
                                printable(name_or_path), fmt::join(known_limits(), ", ")));
}

std::vector<std::vector<LimitedCase>> match_limits(const LimitSet& set, const RunHeader& header,
                                                   const std::string& where) {
  check_devices(set, header, where);
  std::vector<std::vector<LimitedCase>> matched(set.limits.size());
  for (std::size_t l = 0; l < set.limits.size(); ++l) {
    const Limit& limit = set.limits[l];
    const std::string who = fmt::format("{}: limit '{}' of '{}'", where, short_text(limit.name), short_text(set.file));
    for (std::size_t s = 0; s < header.suites.size(); ++s) {
      const SuiteHeader& suite = header.suites[s];
      for (std::size_t c = 0; c < suite.cases.size(); ++c) {
        const CaseHeader& which = suite.cases[c];
        if (!applies(limit, which)) continue;
        if (const std::string fault = scope_fault(limit, which, suite.pairs, header); !fault.empty()) {
          throw usage_error(fmt::format("{}: case '{}' {}", who, short_text(which.name), fault));
        }
        const FigureHeader figure = figure_of(limit, which, who);
        matched[l].push_back({s, c, figure, time_limit(limit, figure)});
      }
    }
    if (matched[l].empty() && !limit.optional) {
      throw usage_error(
          fmt::format("{}: no case matches '{}'; measure it, leave the limit out, or mark it optional with a reason",
                      who, short_text(limit.cases)));
    }
  }
  return matched;
}

stats::SequentialPlan sequential_plan(std::size_t ranks) {
  stats::SequentialPlan plan;
  plan.producers_risk /= static_cast<double>(std::max<std::size_t>(ranks, 1));
  return plan;
}

std::string to_json(const stats::SequentialPlan& plan) {
  return nlohmann::ordered_json{{"producers_risk", plan.producers_risk},
                                {"consumers_risk", plan.consumers_risk},
                                {"good_share", plan.good_share},
                                {"bad_share", plan.bad_share},
                                {"fewest", plan.fewest}}
      .dump();
}

std::optional<stats::SequentialPlan> sequential_plan_of(const RunHeader& header) {
  const auto text = header.provenance.find("configuration");
  if (text == header.provenance.end()) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(text->second, nullptr, false);
  if (!json.is_object() || !json.contains(plan_key) || !json[plan_key].is_object()) return std::nullopt;
  const nlohmann::json& from = json[plan_key];
  const auto number = [&](const char* key) {
    return from.contains(key) && from[key].is_number() ? from[key].get<double>() : 0.0;
  };
  stats::SequentialPlan plan;
  plan.producers_risk = number("producers_risk");
  plan.consumers_risk = number("consumers_risk");
  plan.good_share = number("good_share");
  plan.bad_share = number("bad_share");
  plan.fewest = static_cast<int>(std::clamp(number("fewest"), 0.0, 1e6));
  if (!stats::is_sound(plan)) return std::nullopt;
  return plan;
}

}  // namespace rackproof::results

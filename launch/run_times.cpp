#include "launch/run_times.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace rackproof {
namespace {

std::string listed(std::vector<std::pair<std::string, double>> spent) {
  std::stable_sort(spent.begin(), spent.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [work, seconds] : spent) text += fmt::format("{}{} {:.1f}", text.empty() ? "" : ", ", work, seconds);
  return text;
}

}  // namespace

void RunTimes::add(Spent& spent, const std::string& work) {
  const double now = clock_.now();
  auto known = std::find_if(spent.begin(), spent.end(), [&work](const auto& one) { return one.first == work; });
  if (known == spent.end()) known = spent.insert(known, {work, 0.0});
  known->second += now - last_;
  last_ = now;
}

std::string RunTimes::line() const {
  Spent all = works_;
  double measuring = 0.0;
  for (const auto& [suite, seconds] : suites_) measuring += seconds;
  if (!suites_.empty()) all.emplace_back("measuring", measuring);
  std::string text = listed(all);
  if (!suites_.empty()) {
    const std::string sum = fmt::format("measuring {:.1f}", measuring);
    text.insert(text.find(sum) + sum.size(), fmt::format(" ({})", listed(suites_)));
  }
  return fmt::format("Took {:.1f} s: {}", last_ - began_, text);
}

}  // namespace rackproof

// Computes what it is asked for on stdin, one question a line, for a test that knows the answers from elsewhere:
//   mann_whitney X ; Y                 -> u p method
//   hodges_lehmann CONFIDENCE X ; Y    -> shift low high
//   smallest_p N M                     -> p
//   holm P  |  benjamini_hochberg P    -> adjusted
// X, Y and P are numbers with blanks between them.
#include <fmt/format.h>

#include <iostream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "common/stats/hodges_lehmann.hpp"
#include "common/stats/mann_whitney.hpp"
#include "common/stats/multiple_testing.hpp"

namespace {

using rackproof::stats::RankSumMethod;

std::vector<double> numbers(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<double>(in), {}};
}

std::string line_of(const std::vector<double>& values) {
  std::string line;
  for (const double value : values) line += fmt::format("{}{:.17g}", line.empty() ? "" : " ", value);
  return line;
}

std::string name_of(RankSumMethod method) {
  switch (method) {
    case RankSumMethod::exact:
      return "exact";
    case RankSumMethod::exact_with_ties:
      return "exact_with_ties";
    case RankSumMethod::normal:
      break;
  }
  return "normal";
}

std::string answer(const std::string& question, const std::string& text) {
  namespace stats = rackproof::stats;
  if (question == "holm") return line_of(stats::holm(numbers(text)));
  if (question == "benjamini_hochberg") return line_of(stats::benjamini_hochberg(numbers(text)));
  std::vector<double> first = numbers(text.substr(0, text.find(';')));
  if (question == "smallest_p") {
    return line_of({stats::smallest_p(static_cast<int>(first.at(0)), static_cast<int>(first.at(1)))});
  }
  const std::vector<double> second = numbers(text.substr(text.find(';') + 1));
  if (question == "mann_whitney") {
    const stats::MannWhitney test = stats::mann_whitney(first, second);
    return line_of({test.u, test.p}) + " " + name_of(test.method);
  }
  if (question == "hodges_lehmann") {
    const double confidence = first.front();
    first.erase(first.begin());
    const stats::Shift shift = stats::hodges_lehmann(first, second, confidence);
    return line_of({shift.shift, shift.low, shift.high});
  }
  return "unknown question " + question;
}

}  // namespace

int main() {
  for (std::string question; std::cin >> question;) {
    std::string text;
    std::getline(std::cin, text);
    fmt::print("{}\n", answer(question, text));
  }
  return 0;
}

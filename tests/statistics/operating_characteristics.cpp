// How often is a verdict of `rackproof compare` right? Simulated with the launch-to-launch noise of a real machine.
//
// The noise: log(time / geometric mean of all launches) of every case in every launch (launch_noise.csv; its head has
// the commands that made it). A simulated launch is one of the measured ones, all of its cases together, so that what
// disturbs them together still does, plus a little normal noise of its own, so that no value comes twice, shrunk to
// keep each case's variance: the smoothed bootstrap (Silverman and Young, The bootstrap: to smooth or not to smooth?,
// Biometrika 74, 1987), (x + h s z) / sqrt(1 + h^2) with h = 0.3.
//
// Prints and checks:
//   A/A: whole comparisons, all cases, of two sides that are the same: how many call any difference (at most alpha),
//   and
//        how many cases are called the same.
//   A slowdown of one case alone, the others the same: how often it is called SLOWER, case by case; and of all cases at
//        once. In cases whose noise lets it be found, it must be found in 90 % at least.
//   The same with normal noise of 0.25 to 3 %: how much noise a slowdown can be found beside. Likewise demanded.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <cmath>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "common/stats/launch_verdict.hpp"

namespace {

using rackproof::stats::LaunchCall;
using rackproof::stats::LaunchTimes;
using rackproof::stats::LaunchVerdict;

struct Noise {
  std::vector<std::string> names;
  std::vector<std::vector<double>> launches;  ///< [launch][case]: log deviation
  std::vector<double> spread;                 ///< by case
};

double spread_of(const std::vector<std::vector<double>>& launches, std::size_t which) {
  double sum = 0.0;
  for (const auto& launch : launches) sum += launch[which] * launch[which];
  return std::sqrt(sum / static_cast<double>(launches.size() - 1));
}

/// Comments, a head "launch,CASE,...", a line a launch.
Noise read_noise(const std::string& path) {
  std::ifstream in(path);
  Noise noise;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream cells(line);
    std::string cell;
    std::getline(cells, cell, ',');
    const bool head = noise.names.empty();
    std::vector<double> values;
    while (std::getline(cells, cell, ',')) {
      if (head) {
        noise.names.push_back(cell);
      } else {
        values.push_back(std::stod(cell));
      }
    }
    if (!head && values.size() == noise.names.size()) noise.launches.push_back(std::move(values));
  }
  if (noise.launches.size() < 2) throw std::runtime_error("no noise in " + path);
  for (std::size_t c = 0; c < noise.names.size(); ++c) {
    double mean = 0.0;
    for (const auto& launch : noise.launches) mean += launch[c] / static_cast<double>(noise.launches.size());
    for (auto& launch : noise.launches) launch[c] -= mean;
    noise.spread.push_back(spread_of(noise.launches, c));
  }
  return noise;
}

class Laboratory {
 public:
  Laboratory(const Noise& noise, int launches, double margin, double alpha, unsigned seed)
      : noise_(noise), launches_(launches), margin_(margin), random_(seed) {
    rules_.alpha = alpha;
  }

  /// Case `slow` of the other side takes longer by this share; all of them where it is the number of cases.
  std::vector<LaunchVerdict> compare(double slowdown, std::size_t slow) {
    std::vector<LaunchTimes> cases(noise_.names.size());
    for (LaunchTimes& one : cases) one.margin = margin_;
    for (int i = 0; i < launches_; ++i) {
      add_launch(cases, [](LaunchTimes& one) -> std::vector<double>& { return one.base; });
      add_launch(cases, [](LaunchTimes& one) -> std::vector<double>& { return one.other; });
    }
    for (std::size_t c = 0; c < cases.size(); ++c) {
      if (c != slow && slow != cases.size()) continue;
      for (double& time : cases[c].other) time *= 1.0 + slowdown;
    }
    return rackproof::stats::judge_launches(cases, rules_);
  }

 private:
  template <typename Side>
  void add_launch(std::vector<LaunchTimes>& cases, const Side& side) {
    constexpr double h = 0.3;
    std::uniform_int_distribution<std::size_t> pick(0, noise_.launches.size() - 1);
    const std::vector<double>& launch = noise_.launches[pick(random_)];
    for (std::size_t c = 0; c < cases.size(); ++c) {
      const double own = h * noise_.spread[c] * normal_(random_);
      side(cases[c]).push_back(std::exp((launch[c] + own) / std::sqrt(1.0 + h * h)));
    }
  }

  const Noise& noise_;
  int launches_;
  double margin_;
  rackproof::stats::LaunchRules rules_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

double share(long count, long of) { return of == 0 ? 0.0 : static_cast<double>(count) / static_cast<double>(of); }

bool is_difference(const LaunchVerdict& verdict) {
  return verdict.call == LaunchCall::slower || verdict.call == LaunchCall::faster;
}

/// More than `wanted` by more than chance: the 99 % limit of that many trials.
bool exceeds(long count, long of, double wanted) {
  const boost::math::binomial_distribution<double> trials(static_cast<double>(of), wanted);
  return static_cast<double>(count) > boost::math::quantile(trials, 0.99);
}

struct Settings {
  std::string file;
  long comparisons = 1000;
  long slow_comparisons = 0;  ///< a case; 0: a fifth of the others
  int launches = 10;
  double slowdown = 0.03;
  double margin = 0.01;
  double alpha = 0.05;
  double wanted_power = 0.9;
  unsigned seed = 1;
};

bool same_sides(Laboratory& lab, const Noise& noise, const Settings& settings) {
  long wrong = 0;
  long same = 0;
  for (long i = 0; i < settings.comparisons; ++i) {
    const std::vector<LaunchVerdict> verdicts = lab.compare(0.0, 0);
    wrong += std::any_of(verdicts.begin(), verdicts.end(), is_difference) ? 1 : 0;
    same += std::count_if(verdicts.begin(), verdicts.end(),
                          [](const LaunchVerdict& one) { return one.call == LaunchCall::same; });
  }
  const auto cases = static_cast<long>(noise.names.size());
  fmt::print("A/A: {} of {} comparisons call a difference somewhere ({:.1f} %; at most {:.0f} % wanted)\n", wrong,
             settings.comparisons, 100.0 * share(wrong, settings.comparisons), 100.0 * settings.alpha);
  fmt::print("     {:.1f} % of the cases are called SAME, the others INCONCLUSIVE\n",
             100.0 * share(same, cases * settings.comparisons));
  return !exceeds(wrong, settings.comparisons, settings.alpha);
}

/// Of `comparisons`, in which case `slow` alone is slow, those that say so.
long times_found(Laboratory& lab, std::size_t slow, double slowdown, long comparisons) {
  long found = 0;
  for (long i = 0; i < comparisons; ++i) {
    found += lab.compare(slowdown, slow)[slow].call == LaunchCall::slower ? 1 : 0;
  }
  return found;
}

/// The noise up to which theory promises the wanted power in a family of this size, with something in hand: normal
/// noise is easier than a real machine's.
double spread_that_must_do(const Settings& settings) {
  // The interval's half width and the power's share of it are (t + z) s sqrt(2 / n pi / 3), t = 2.1, z = 1.28.
  const double reach = std::log1p(settings.slowdown) - std::log1p(settings.margin);
  return 0.8 * reach / ((2.1 + 1.28) * std::sqrt(2.0 / settings.launches * 1.0472));
}

bool one_slow_case(Laboratory& lab, const Noise& noise, const Settings& settings) {
  const long comparisons = settings.slow_comparisons;
  const double must = spread_that_must_do(settings);
  std::vector<std::size_t> order(noise.names.size());
  for (std::size_t c = 0; c < order.size(); ++c) order[c] = c;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return noise.spread[a] < noise.spread[b]; });
  fmt::print("\nA case that is {:.3g} % slower, alone among {}, {} comparisons each:\n", 100.0 * settings.slowdown,
             order.size(), comparisons);
  fmt::print("{:<44} {:>8} {:>8}\n", "case", "spread %", "found %");
  bool good = true;
  long reached = 0;
  for (const std::size_t c : order) {
    const long found = times_found(lab, c, settings.slowdown, comparisons);
    const bool enough = share(found, comparisons) >= settings.wanted_power;
    reached += enough ? 1 : 0;
    const bool wrong =
        noise.spread[c] <= must && exceeds(comparisons - found, comparisons, 1.0 - settings.wanted_power);
    good = good && !wrong;
    fmt::print("{:<44} {:8.2f} {:8.1f}{}\n", noise.names[c], 100.0 * noise.spread[c], 100.0 * share(found, comparisons),
               wrong ? "  TOO FEW" : "");
  }
  fmt::print("{} of {} cases reach {:.0f} %. It is demanded of those with a spread up to {:.2f} %.\n", reached,
             order.size(), 100.0 * settings.wanted_power, 100.0 * must);
  return good;
}

void all_slow(Laboratory& lab, const Noise& noise, const Settings& settings) {
  long runs = 0;
  long cases = 0;
  for (long i = 0; i < settings.slow_comparisons; ++i) {
    const std::vector<LaunchVerdict> verdicts = lab.compare(settings.slowdown, noise.names.size());
    const auto found = std::count_if(verdicts.begin(), verdicts.end(),
                                     [](const LaunchVerdict& one) { return one.call == LaunchCall::slower; });
    runs += found > 0 ? 1 : 0;
    cases += found;
  }
  fmt::print(
      "\nAll cases {:.3g} % slower: {:.1f} % of {} comparisons find it; {:.1f} % of the cases are called SLOWER\n",
      100.0 * settings.slowdown, 100.0 * share(runs, settings.slow_comparisons), settings.slow_comparisons,
      100.0 * share(cases, settings.slow_comparisons * static_cast<long>(noise.names.size())));
}

bool by_noise(const Settings& settings, std::size_t cases) {
  const double must = spread_that_must_do(settings);
  bool good = true;
  fmt::print("\nOne of {} cases is {:.3g} % slower, beside normal noise:\n{:>8}", cases, 100.0 * settings.slowdown,
             "spread %");
  constexpr std::array<int, 4> sizes{5, 10, 20, 40};
  for (const int n : sizes) fmt::print(" {:>12}", fmt::format("{} launches", n));
  fmt::print("   (found, %)\n");
  for (const double spread : {0.0025, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.03}) {
    fmt::print("{:8.2f}", 100.0 * spread);
    for (const int n : sizes) {
      // 1000 launches of pure noise stand in for a normal distribution.
      std::mt19937_64 random(settings.seed);
      std::normal_distribution<double> normal(0.0, spread);
      Noise noise;
      noise.names.assign(cases, "normal");
      noise.spread.assign(cases, spread);
      noise.launches.assign(1000, std::vector<double>(cases));
      for (auto& launch : noise.launches) std::generate(launch.begin(), launch.end(), [&] { return normal(random); });
      Laboratory lab(noise, n, settings.margin, settings.alpha, settings.seed);
      const long comparisons = std::max(20L, settings.slow_comparisons);
      const long found = times_found(lab, 0, settings.slowdown, comparisons);
      fmt::print(" {:12.1f}", 100.0 * share(found, comparisons));
      const bool demanded = n == settings.launches && spread <= must;
      good = good && !(demanded && exceeds(comparisons - found, comparisons, 1.0 - settings.wanted_power));
    }
    fmt::print("\n");
  }
  return good;
}

int run(const Settings& settings) {
  const Noise noise = read_noise(settings.file);
  fmt::print("noise of {} launches, {} cases; {} launches a side, margin {:.3g} %, alpha {:.3g}\n\n",
             noise.launches.size(), noise.names.size(), settings.launches, 100.0 * settings.margin, settings.alpha);
  Laboratory lab(noise, settings.launches, settings.margin, settings.alpha, settings.seed);
  const bool quiet = same_sides(lab, noise, settings);
  const bool sharp = one_slow_case(lab, noise, settings);
  all_slow(lab, noise, settings);
  const bool lawful = by_noise(settings, noise.names.size());
  const double must = spread_that_must_do(settings);
  const auto demanded = std::count_if(noise.spread.begin(), noise.spread.end(), [must](double s) { return s <= must; });
  fmt::print(
      "\nFalse differences: {}. Slow cases found where demanded (normal noise up to {:.2f} %; {} of {} cases of this\n"
      "machine are as quiet): {}.\n",
      quiet ? "as few as promised" : "TOO MANY", 100.0 * must, demanded, noise.names.size(),
      sharp && lawful ? "yes" : "NO");
  return quiet && sharp && lawful ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  CLI::App app("How often `rackproof compare` is right, simulated with a machine's own noise between launches");
  app.add_option("NOISE", settings.file, "launch_noise.csv")->required();
  app.add_option("--comparisons", settings.comparisons, "A/A comparisons")->capture_default_str();
  app.add_option("--slow-comparisons", settings.slow_comparisons, "With a slow case, each (default: a fifth)");
  app.add_option("--launches", settings.launches, "A side")->capture_default_str();
  app.add_option("--slowdown", settings.slowdown, "As a share")->capture_default_str();
  app.add_option("--margin", settings.margin, "As a share")->capture_default_str();
  app.add_option("--alpha", settings.alpha)->capture_default_str();
  app.add_option("--seed", settings.seed)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (settings.slow_comparisons == 0) settings.slow_comparisons = std::max(20L, settings.comparisons / 5);
  try {
    return run(settings);
  } catch (const std::exception& error) {
    fmt::print(stderr, "operating_characteristics: {}\n", error.what());
    return 2;
  }
}

#include "common/mpi/global_clock.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace rackproof::mpi {
namespace {

constexpr int tag = 19700;
constexpr int round_trips_to_synchronise = 64;
constexpr int round_trips_to_check = 16;
/// Seconds after which an edge makes do with its fewest round trips: where ranks share cores, messages wait for the
/// scheduler, some time slices of some milliseconds each.
constexpr double patience = 20e-3;
constexpr int fewest_round_trips = 8;
/// The line is drawn through the last estimates only: crystals drift with temperature.
constexpr std::size_t longest_history = 16;

/// Binomial tree over any number of ranks: the parent of r is r without its lowest set bit.
int parent_of(int rank) { return rank & (rank - 1); }

}  // namespace

GlobalClock::GlobalClock(const Communicator& world, const Clock& clock) : world_(&world), clock_(&clock) {
  history_.reserve(longest_history + 1);
  synchronise();
}

double GlobalClock::to_global(double local) const noexcept { return local + offset_ + drift_ * (local - reference_); }

double GlobalClock::to_local(double global) const noexcept {
  return (global - offset_ + drift_ * reference_) / (1.0 + drift_);
}

/// The other side of answer_children(). Sets `path_error` to the parent's.
GlobalClock::Estimate GlobalClock::ask_parent(int parent, int round_trips, double& path_error) const {
  Estimate best{0.0, 0.0, std::numeric_limits<double>::infinity()};
  double start = 0.0;
  bool last = false;
  for (int trip = 1; !last; ++trip) {
    const double sent = clock_->now();
    if (trip == 2) start = sent;  // the first one waited until the parent had time
    last = trip >= round_trips || (trip >= fewest_round_trips && sent - start > patience);
    const double question = last ? 1.0 : 0.0;
    std::array<double, 2> answer{};
    check(MPI_Send(&question, 1, MPI_DOUBLE, parent, tag, world_->handle()), "MPI_Send");
    check(MPI_Recv(answer.data(), 2, MPI_DOUBLE, parent, tag, world_->handle(), MPI_STATUS_IGNORE), "MPI_Recv");
    const double received = clock_->now();
    const double error = (received - sent) / 2.0;
    if (error < best.error) {
      const double middle = sent + error;
      best = {middle, answer[0] - middle, error};
    }
    path_error = answer[1];
  }
  return best;
}

void GlobalClock::answer_children(double path_error) const {
  const int rank = world_->rank();
  int step = rank & -rank;  // the lowest set bit; for rank 0 the first power of two that reaches all
  if (rank == 0) {
    step = 1;
    while (step < world_->size()) step *= 2;
  }
  // The child with the largest subtree first: it has the longest way to go.
  for (step /= 2; step >= 1; step /= 2) {
    const int child = rank + step;
    if (child >= world_->size()) continue;
    double last = 0.0;
    while (last == 0.0) {
      check(MPI_Recv(&last, 1, MPI_DOUBLE, child, tag, world_->handle(), MPI_STATUS_IGNORE), "MPI_Recv");
      const std::array<double, 2> answer{now(), path_error};
      check(MPI_Send(answer.data(), 2, MPI_DOUBLE, child, tag, world_->handle()), "MPI_Send");
    }
  }
}

void GlobalClock::follow(const Estimate& newest) {
  history_.push_back(newest);
  if (history_.size() > longest_history) history_.erase(history_.begin());
  reference_ = newest.local;
  offset_ = newest.offset;
  drift_ = 0.0;

  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
  for (const Estimate& e : history_) {
    lowest = std::max(lowest, e.offset - e.error);
    highest = std::min(highest, e.offset + e.error);
  }
  if (lowest <= highest) return;

  // Least squares through (local, offset), each weighted by 1 / error^2; relative to the newest to keep the digits.
  double weights = 0.0;
  double mean_time = 0.0;
  double mean_offset = 0.0;
  const auto weight_of = [](const Estimate& e) { return 1.0 / std::max(e.error * e.error, 1e-24); };
  for (const Estimate& e : history_) {
    weights += weight_of(e);
    mean_time += weight_of(e) * (e.local - newest.local);
    mean_offset += weight_of(e) * (e.offset - newest.offset);
  }
  mean_time /= weights;
  mean_offset /= weights;
  double spread = 0.0;
  double together = 0.0;
  for (const Estimate& e : history_) {
    const double time = e.local - newest.local - mean_time;
    spread += weight_of(e) * time * time;
    together += weight_of(e) * time * (e.offset - newest.offset - mean_offset);
  }
  if (spread > 0.0) drift_ = together / spread;
}

double GlobalClock::synchronise() {
  double error = 0.0;
  if (world_->rank() != 0) {
    Estimate estimate = ask_parent(parent_of(world_->rank()), round_trips_to_synchronise, error);
    // The parent's time was uncertain too, and may have moved by that since the last estimate.
    estimate.error += error;
    follow(estimate);
    error = estimate.error;
  }
  answer_children(error);
  world_->all_reduce_max({&error, 1});
  error_ = error;
  return error_;
}

double GlobalClock::residual(Deviation* own) const {
  double error = 0.0;
  if (own != nullptr) *own = {};
  if (world_->rank() != 0) {
    const Estimate estimate = ask_parent(parent_of(world_->rank()), round_trips_to_check, error);
    const double ahead = estimate.local + estimate.offset - to_global(estimate.local);
    if (own != nullptr) *own = {ahead, estimate.error};
    error += std::abs(ahead) + estimate.error;
  }
  answer_children(error);
  world_->all_reduce_max({&error, 1});
  return error;
}

std::vector<ClockJump> find_clock_jumps(std::span<const GlobalClock::Deviation> deviations, double elapsed,
                                        double error) {
  constexpr double most_drift = 200e-6;
  constexpr double least_jump = 100e-6;
  constexpr double errors = 3.0;
  if (deviations.size() < 2) return {};
  // Parents have lower numbers than their children.
  std::vector<double> ahead(deviations.size(), 0.0);
  std::vector<double> uncertain(deviations.size(), 0.0);
  for (std::size_t rank = 1; rank < deviations.size(); ++rank) {
    const auto parent = static_cast<std::size_t>(parent_of(static_cast<int>(rank)));
    ahead[rank] = ahead[parent] - deviations[rank].seconds;
    uncertain[rank] = uncertain[parent] + deviations[rank].error;
  }
  std::vector<double> sorted = ahead;
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2), sorted.end());
  // Of two ranks nobody can tell which clock it was: the other one's, for rank 0 leads.
  const double middle = deviations.size() == 2 ? 0.0 : sorted[sorted.size() / 2];
  std::vector<ClockJump> jumps;
  for (std::size_t rank = 0; rank < ahead.size(); ++rank) {
    const double off = ahead[rank] - middle;
    if (std::abs(off) <= least_jump + most_drift * elapsed + errors * (uncertain[rank] + error)) continue;
    jumps.push_back({static_cast<int>(rank), off});
  }
  return jumps;
}

}  // namespace rackproof::mpi

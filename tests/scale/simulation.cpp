#include "tests/scale/simulation.hpp"

#include <fmt/format.h>
#include <smpi/smpi.h>
#include <xbt/log.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "common/core/random.hpp"

namespace rackproof::scale {
namespace {

namespace s4u = simgrid::s4u;

constexpr std::uint64_t clock_purpose = 3;
constexpr std::uint64_t noise_purpose = 4;
constexpr double largest_offset = 1.0;
constexpr double largest_drift = 20e-6;
/// Engine time is exact to a nanosecond.
constexpr double shortest_sleep = 2e-9;

/// Of a barrier of all ranks, or an offloaded collective, behind the last that comes.
constexpr double collective_time = 2e-6;

constexpr double usual_delay = 0.5e-6;
constexpr double rare_delay = 25e-6;
constexpr double rare_share = 0.01;

/// What the calls below keep for a rank. MPI's profiling interface passes no context: hence globals, here alone.
struct Profile {
  Calls calls;
  std::uint64_t stream = 0;  ///< 0: undisturbed
  std::uint64_t index = 0;
};

Profile& profile(int rank) {
  static std::deque<Profile> profiles;  // ranks keep references while it grows
  if (profiles.size() <= static_cast<std::size_t>(rank)) profiles.resize(static_cast<std::size_t>(rank) + 1);
  return profiles[static_cast<std::size_t>(rank)];
}

Profile& own_profile() {
  int rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return profile(rank);
}

double exponential(Profile& p, double mean) { return -mean * std::log1p(-random_uniform(p.stream, p.index++)); }

/// Seconds; 0 where nobody is disturbed.
double draw_delay(Profile& p) {
  if (p.stream == 0) return 0.0;
  double time = exponential(p, usual_delay);
  if (random_uniform(p.stream, p.index++) < rare_share) time += exponential(p, rare_delay);
  return time;
}

void delay(Profile& p) {
  const double time = draw_delay(p);
  if (time > 0.0) s4u::this_actor::sleep_for(time);
}

/// All ranks, once the job runs.
struct Job {
  int size = 0;
  bool offloaded = false;
  s4u::BarrierPtr barrier;
  std::vector<double> shared{};  ///< what an offloaded collective carries
  int arrived = 0;               ///< ranks that have put their numbers into it
};

Job& job() {
  static Job one;
  return one;
}

bool is_whole_job(MPI_Comm communicator) {
  int size = 0;
  PMPI_Comm_size(communicator, &size);
  return size == job().size;
}

/// `take` runs on each rank behind the last that comes. No rank gets from here to the next collective before all have
/// taken, because time passes in between.
template <typename Take>
void meet(Profile& p, Take take) {
  job().barrier->wait();
  take();
  s4u::this_actor::sleep_for(collective_time + draw_delay(p));
}

bool is_offloaded(MPI_Datatype type, MPI_Comm communicator) {
  return job().offloaded && type == MPI_DOUBLE && is_whole_job(communicator);
}

void broadcast(Profile& p, std::span<double> values, bool is_root) {
  if (is_root) job().shared.assign(values.begin(), values.end());
  meet(p, [values] { std::copy(job().shared.begin(), job().shared.end(), values.begin()); });
}

void gather(Profile& p, std::span<const double> own, double* all, int rank) {
  job().shared.resize(own.size() * static_cast<std::size_t>(job().size));
  std::copy(own.begin(), own.end(), job().shared.begin() + rank * static_cast<std::ptrdiff_t>(own.size()));
  meet(p, [all] { std::copy(job().shared.begin(), job().shared.end(), all); });
}

void reduce(Profile& p, std::span<double> values, MPI_Op operation) {
  Job& all = job();
  if (all.arrived == 0) {
    all.shared.assign(values.begin(), values.end());
  } else {
    for (std::size_t i = 0; i < values.size(); ++i) {
      double& one = all.shared[i];
      one = operation == MPI_MAX ? std::max(one, values[i]) : std::min(one, values[i]);
    }
  }
  all.arrived = (all.arrived + 1) % all.size;
  meet(p, [values] { std::copy(job().shared.begin(), job().shared.end(), values.begin()); });
}

double symmetric(std::uint64_t stream, std::uint64_t index) { return 2.0 * random_uniform(stream, index) - 1.0; }

}  // namespace

SimulatedClock::SimulatedClock(std::uint64_t seed, int rank)
    : offset_(largest_offset * symmetric(random_stream(seed, clock_purpose), 2 * static_cast<std::uint64_t>(rank))),
      drift_(largest_drift * symmetric(random_stream(seed, clock_purpose), 2 * static_cast<std::uint64_t>(rank) + 1)) {}

// What MPI_Wtime says, without its own timers of what the process does in between.
double SimulatedClock::now() const { return offset_ + (1.0 + drift_) * s4u::Engine::get_clock(); }

void SimulatedClock::relax() const { s4u::this_actor::sleep_for(100e-9); }

void SimulatedClock::relax_until(double instant) const {
  s4u::this_actor::sleep_for(std::max((instant - now()) / (1.0 + drift_), shortest_sleep));
}

Calls calls_so_far(int rank) { return profile(rank).calls; }

void disturb(int rank, std::uint64_t seed) {
  profile(rank).stream = random_stream(random_stream(seed, noise_purpose), static_cast<std::uint64_t>(rank)) | 1U;
}

Simulation::Simulation(Collectives collectives) : engine_("rackproof"), collectives_(collectives) {
  xbt_log_control_set("root.thres:warning");
  // Time passes in messages and sleeps alone: neither in our own computing nor in reading the clock.
  s4u::Engine::set_config("smpi/simulate-computation:no");
  s4u::Engine::set_config("smpi/host-speed:1Gf");
  s4u::Engine::set_config("smpi/wtime:0");
  s4u::Engine::set_config("smpi/errors-are-fatal:no");
  // From 4 KiB on, a message waits for its receiver.
  s4u::Engine::set_config("smpi/send-is-detached-thresh:4096");
  // latency + size / bandwidth, without the factors that were fitted to an Ethernet, and without acknowledgements.
  s4u::Engine::set_config("network/model:CM02");
  s4u::Engine::set_config("network/crosstraffic:no");
}

void Simulation::run(const std::vector<simgrid::s4u::Host*>& hosts,
                     const std::function<void(const mpi::Communicator& world)>& body) {
  const std::string name = "rackproof";
  SMPI_init();
  const auto ranks = static_cast<int>(hosts.size());
  SMPI_app_instance_register(name.c_str(), nullptr, ranks);
  job() = {ranks, collectives_ == Collectives::offloaded, s4u::Barrier::create(static_cast<unsigned>(ranks))};
  const auto rank_main = [&body] {
    try {
      int argc = 0;
      char** argv = nullptr;
      const mpi::Session session(argc, argv);
      body(mpi::Communicator::world());
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}: {}\n", s4u::this_actor::get_name(), error.what());
      std::_Exit(1);  // the other ranks would wait for this one
    }
  };
  for (int rank = 0; rank < ranks; ++rank) {
    const s4u::ActorPtr actor = s4u::Actor::init(fmt::format("rank {}", rank), hosts[static_cast<std::size_t>(rank)]);
    actor->set_property("instance_id", name);
    actor->set_property("rank", std::to_string(rank));
    actor->start(rank_main);
  }
  engine_.run();
  job() = {};
  SMPI_finalize();
}

}  // namespace rackproof::scale

// MPI's profiling interface: what rackproof calls comes here first, is counted and delayed.
extern "C" {

// SMPI promises no threads at all. No rank has any here, so that FUNNELED, which Session insists on, is kept.
int MPI_Init_thread(int* argc, char*** argv, int required, int* provided) {
  const int code = PMPI_Init_thread(argc, argv, required, provided);
  *provided = MPI_THREAD_FUNNELED;
  return code;
}

// SMPI's barrier is a gather of messages at one rank, whose simulation takes longer than all the rest together. One of
// all ranks is one of the engine instead, as where the network does it.
int MPI_Barrier(MPI_Comm communicator) {
  auto& profile = rackproof::scale::own_profile();
  ++profile.calls.barriers;
  if (!rackproof::scale::is_whole_job(communicator)) return PMPI_Barrier(communicator);
  rackproof::scale::meet(profile, [] {});
  return MPI_SUCCESS;
}

int MPI_Bcast(void* data, int count, MPI_Datatype type, int root, MPI_Comm communicator) {
  auto& profile = rackproof::scale::own_profile();
  ++profile.calls.broadcasts;
  if (!rackproof::scale::is_offloaded(type, communicator)) return PMPI_Bcast(data, count, type, root, communicator);
  int rank = 0;
  PMPI_Comm_rank(communicator, &rank);
  rackproof::scale::broadcast(profile, {static_cast<double*>(data), static_cast<std::size_t>(count)}, rank == root);
  return MPI_SUCCESS;
}

int MPI_Allreduce(const void* send, void* receive, int count, MPI_Datatype type, MPI_Op operation,
                  MPI_Comm communicator) {
  auto& profile = rackproof::scale::own_profile();
  ++profile.calls.reductions;
  const bool is_extreme = send == MPI_IN_PLACE && (operation == MPI_MAX || operation == MPI_MIN);
  if (is_extreme && rackproof::scale::is_offloaded(type, communicator)) {
    rackproof::scale::reduce(profile, {static_cast<double*>(receive), static_cast<std::size_t>(count)}, operation);
    return MPI_SUCCESS;
  }
  rackproof::scale::delay(profile);
  return PMPI_Allreduce(send, receive, count, type, operation, communicator);
}

int MPI_Allgather(const void* send, int send_count, MPI_Datatype send_type, void* receive, int receive_count,
                  MPI_Datatype receive_type, MPI_Comm communicator) {
  if (!rackproof::scale::is_offloaded(send_type, communicator)) {
    return PMPI_Allgather(send, send_count, send_type, receive, receive_count, receive_type, communicator);
  }
  int rank = 0;
  PMPI_Comm_rank(communicator, &rank);
  rackproof::scale::gather(rackproof::scale::own_profile(),
                           {static_cast<const double*>(send), static_cast<std::size_t>(send_count)},
                           static_cast<double*>(receive), rank);
  return MPI_SUCCESS;
}

int MPI_Send(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm communicator) {
  auto& profile = rackproof::scale::own_profile();
  ++profile.calls.messages;
  rackproof::scale::delay(profile);
  return PMPI_Send(data, count, type, to, tag, communicator);
}

int MPI_Recv(void* data, int count, MPI_Datatype type, int from, int tag, MPI_Comm communicator, MPI_Status* status) {
  ++rackproof::scale::own_profile().calls.receipts;
  return PMPI_Recv(data, count, type, from, tag, communicator, status);
}

int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm communicator,
              MPI_Request* request) {
  auto& profile = rackproof::scale::own_profile();
  ++profile.calls.messages;
  rackproof::scale::delay(profile);
  return PMPI_Isend(data, count, type, to, tag, communicator, request);
}

int MPI_Sendrecv(const void* send, int send_count, MPI_Datatype send_type, int to, int send_tag, void* receive,
                 int receive_count, MPI_Datatype receive_type, int from, int receive_tag, MPI_Comm communicator,
                 MPI_Status* status) {
  if (to != MPI_PROC_NULL) {
    auto& profile = rackproof::scale::own_profile();
    ++profile.calls.messages;
    rackproof::scale::delay(profile);
  }
  return PMPI_Sendrecv(send, send_count, send_type, to, send_tag, receive, receive_count, receive_type, from,
                       receive_tag, communicator, status);
}

}  // extern "C"

// The simulated rack: nodes under leaf switches, leaf switches under spine switches, and what is wrong with it.
#pragma once

#include <cstdint>
#include <simgrid/s4u.hpp>
#include <string>
#include <vector>

namespace rackproof::scale {

/// What is planted.
struct Fault {
  enum class Kind {
    none,
    link,  ///< the cable between one leaf and one spine switch has 30 % less bandwidth, both ways
    node   ///< everything that one node sends and receives goes at 10 % less bandwidth
  };
  Kind kind = Kind::none;
  int node = -1;   ///< Kind::node
  int leaf = -1;   ///< Kind::link
  int spine = -1;  ///< Kind::link
};

inline constexpr double link_fault = 0.30;
inline constexpr double node_fault = 0.10;

/// A two-level fat tree with one cable from every node to its leaf switch and from every leaf to every spine switch, as
/// many spines as a leaf has nodes. Messages between i and j, either way, go through spine (i + j) modulo the number of
/// spines, as where a hash of both ends chooses the route: 1 of the pairs of a node in so many meets a given cable of
/// its leaf. Cables are full duplex.
///
/// The messages that cross the cable of a node share its bandwidth. The cables between switches each message has for
/// itself, as on a fabric with enough of them: two messages never slow each other down there, whatever the pairing.
/// (The engine knows the nodes' cables alone; the others act as factors on latency and bandwidth of a route, because
/// the engine solves all messages that have a cable in common together.)
///
/// Scale model: 312.5 MB/s, so that 16 KiB, which is cheap to simulate, takes 52 us, as 2.5 MiB does at 50 GB/s.
class Fabric {
 public:
  static constexpr double bandwidth = 312.5e6;  ///< B/s, each way
  static constexpr double latency = 250e-9;     ///< s, of each cable with the switch behind it
  /// Relative standard deviations (log-normal) of one cable to the next, each way: no two are alike.
  static constexpr double bandwidth_spread = 0.015;
  static constexpr double latency_spread = 0.05;

  /// Creates the platform in the engine; one fabric a process. `nodes` is a multiple of nodes_per_leaf(nodes).
  explicit Fabric(int nodes);
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;
  ~Fabric() = default;

  /// The largest power of two whose square is at most `nodes`.
  [[nodiscard]] static int nodes_per_leaf(int nodes);

  /// Gives all cables their bandwidth and latency: those that `seed` draws, with the fault. Called while no message is
  /// under way.
  void set(std::uint64_t seed, const Fault& fault);

  /// A fault of this kind at a place that `seed` draws.
  [[nodiscard]] Fault draw_fault(Fault::Kind kind, std::uint64_t seed) const;
  /// Do messages between a and b meet the fault?
  [[nodiscard]] bool meets(const Fault& fault, int a, int b) const;
  [[nodiscard]] std::string describe(const Fault& fault) const;

  [[nodiscard]] int nodes() const noexcept { return nodes_; }
  [[nodiscard]] int leaves() const noexcept { return nodes_ / per_leaf_; }
  [[nodiscard]] int spines() const noexcept { return per_leaf_; }
  [[nodiscard]] const std::vector<simgrid::s4u::Host*>& hosts() const noexcept { return hosts_; }

 private:
  struct Cable {
    double bandwidth = Fabric::bandwidth;
    double latency = Fabric::latency;
  };
  [[nodiscard]] int leaf_of(int node) const noexcept { return node / per_leaf_; }
  [[nodiscard]] int spine_between(int a, int b) const noexcept { return (a + b) % per_leaf_; }
  [[nodiscard]] std::size_t cable(int leaf, int spine) const noexcept {
    return static_cast<std::size_t>(leaf * per_leaf_ + spine);
  }
  /// What a message meets: the slowest cable's bandwidth, the sum of latencies. The first and the last cable, or all.
  [[nodiscard]] Cable ends(int from, int to) const;
  [[nodiscard]] Cable route(int from, int to) const;

  int nodes_;
  int per_leaf_;
  std::vector<simgrid::s4u::Host*> hosts_;
  std::vector<int> numbers_;                    ///< (nodes): 0, 1, ...; what a host's data points to
  std::vector<simgrid::s4u::Link*> from_link_;  ///< (nodes)
  std::vector<simgrid::s4u::Link*> to_link_;    ///< (nodes)
  std::vector<Cable> from_node_;                ///< (nodes)
  std::vector<Cable> to_node_;                  ///< (nodes)
  std::vector<Cable> from_leaf_;                ///< (leaves x spines)
  std::vector<Cable> to_leaf_;                  ///< (leaves x spines)
};

}  // namespace rackproof::scale

#include "tests/scale/fabric.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <simgrid/kernel/resource/NetworkModelIntf.hpp>

#include "common/core/error.hpp"
#include "common/core/random.hpp"

namespace rackproof::scale {
namespace {

namespace s4u = simgrid::s4u;

constexpr std::uint64_t spread_purpose = 1;
constexpr std::uint64_t fault_purpose = 2;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

std::vector<s4u::Link*> make_links(s4u::NetZone& zone, const std::string& prefix, int count) {
  std::vector<s4u::Link*> links;
  for (int i = 0; i < count; ++i) {
    s4u::Link* link = zone.create_link(fmt::format("{}{}", prefix, i), Fabric::bandwidth);
    links.push_back(link->set_latency(Fabric::latency)->seal());
  }
  return links;
}

int number_of(const s4u::Host* host) { return *host->get_data<int>(); }

int draw(std::uint64_t stream, std::uint64_t index, int below) {
  return static_cast<int>(random_uniform(stream, index) * below);
}

}  // namespace

int Fabric::nodes_per_leaf(int nodes) {
  int per_leaf = 1;
  while (4 * per_leaf * per_leaf <= nodes) per_leaf *= 2;
  return per_leaf;
}

Fabric::Fabric(int nodes) : nodes_(nodes), per_leaf_(nodes_per_leaf(nodes)) {
  if (nodes < 4 || nodes % per_leaf_ != 0) {
    throw usage_error(fmt::format("{} nodes make no fat tree; give a power of two from 4", nodes));
  }
  numbers_.resize(at(nodes));
  std::iota(numbers_.begin(), numbers_.end(), 0);
  from_node_.resize(at(nodes));
  to_node_.resize(at(nodes));
  from_leaf_.resize(at(leaves() * spines()));
  to_leaf_.resize(from_leaf_.size());

  s4u::NetZone* zone = s4u::create_full_zone("rack");
  for (int i = 0; i < nodes; ++i) {
    hosts_.push_back(zone->create_host(fmt::format("node{}", i), 1e9)->seal());
    hosts_.back()->set_data(&numbers_[at(i)]);
  }
  from_link_ = make_links(*zone, "from_node", nodes);
  to_link_ = make_links(*zone, "to_node", nodes);
  for (int i = 0; i < nodes; ++i) {
    for (int j = 0; j < nodes; ++j) {
      if (i == j) continue;
      zone->add_route(hosts_[at(i)]->get_netpoint(), hosts_[at(j)]->get_netpoint(), nullptr, nullptr,
                      {s4u::LinkInRoute(from_link_[at(i)]), s4u::LinkInRoute(to_link_[at(j)])}, false);
    }
  }
  auto* model = zone->get_network_model();
  model->set_bw_factor_cb([this](double, const s4u::Host* from, const s4u::Host* to, const auto&, const auto&) {
    if (from == to) return 1.0;
    const int i = number_of(from);
    const int j = number_of(to);
    return route(i, j).bandwidth / ends(i, j).bandwidth;
  });
  model->set_lat_factor_cb([this](double, const s4u::Host* from, const s4u::Host* to, const auto&, const auto&) {
    if (from == to) return 1.0;
    const int i = number_of(from);
    const int j = number_of(to);
    return route(i, j).latency / ends(i, j).latency;
  });
  zone->seal();
}

Fabric::Cable Fabric::ends(int from, int to) const {
  const Cable& first = from_node_[at(from)];
  const Cable& last = to_node_[at(to)];
  return {std::min(first.bandwidth, last.bandwidth), first.latency + last.latency};
}

Fabric::Cable Fabric::route(int from, int to) const {
  Cable all = ends(from, to);
  if (leaf_of(from) == leaf_of(to)) return all;
  const int spine = spine_between(from, to);
  for (const Cable& inner : {from_leaf_[cable(leaf_of(from), spine)], to_leaf_[cable(leaf_of(to), spine)]}) {
    all.bandwidth = std::min(all.bandwidth, inner.bandwidth);
    all.latency += inner.latency;
  }
  return all;
}

void Fabric::set(std::uint64_t seed, const Fault& fault) {
  const std::uint64_t stream = random_stream(seed, spread_purpose);
  std::uint64_t index = 0;
  for (std::vector<Cable>* cables : {&from_node_, &to_node_, &from_leaf_, &to_leaf_}) {
    for (Cable& each : *cables) {
      std::array<double, 2> normal{};
      fill_normal(normal, stream, index, 1.0F);
      index += normal.size();
      each = {bandwidth * std::exp(bandwidth_spread * normal[0]), latency * std::exp(latency_spread * normal[1])};
    }
  }
  if (fault.kind == Fault::Kind::node) {
    from_node_[at(fault.node)].bandwidth *= 1.0 - node_fault;
    to_node_[at(fault.node)].bandwidth *= 1.0 - node_fault;
  } else if (fault.kind == Fault::Kind::link) {
    from_leaf_[cable(fault.leaf, fault.spine)].bandwidth *= 1.0 - link_fault;
    to_leaf_[cable(fault.leaf, fault.spine)].bandwidth *= 1.0 - link_fault;
  }
  for (std::size_t i = 0; i < at(nodes_); ++i) {
    from_link_[i]->set_bandwidth(from_node_[i].bandwidth)->set_latency(from_node_[i].latency);
    to_link_[i]->set_bandwidth(to_node_[i].bandwidth)->set_latency(to_node_[i].latency);
  }
}

Fault Fabric::draw_fault(Fault::Kind kind, std::uint64_t seed) const {
  const std::uint64_t stream = random_stream(seed, fault_purpose);
  Fault fault{kind};
  if (kind == Fault::Kind::node) fault.node = draw(stream, 0, nodes_);
  if (kind == Fault::Kind::link) {
    fault.leaf = draw(stream, 1, leaves());
    fault.spine = draw(stream, 2, spines());
  }
  return fault;
}

bool Fabric::meets(const Fault& fault, int a, int b) const {
  switch (fault.kind) {
    case Fault::Kind::none:
      return false;
    case Fault::Kind::node:
      return a == fault.node || b == fault.node;
    case Fault::Kind::link:
      break;
  }
  return leaf_of(a) != leaf_of(b) && spine_between(a, b) == fault.spine &&
         (leaf_of(a) == fault.leaf || leaf_of(b) == fault.leaf);
}

std::string Fabric::describe(const Fault& fault) const {
  switch (fault.kind) {
    case Fault::Kind::none:
      return "healthy";
    case Fault::Kind::node:
      return fmt::format("node {} 10 % slow", fault.node);
    case Fault::Kind::link:
      break;
  }
  return fmt::format("cable of leaf {} to spine {} 30 % slow", fault.leaf, fault.spine);
}

}  // namespace rackproof::scale

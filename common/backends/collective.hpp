// Collectives over device memory. One implementation a backend.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "common/backends/device.hpp"
#include "common/backends/reduction.hpp"
#include "common/core/data_type.hpp"
#include "common/mpi/communicator.hpp"

namespace rackproof {

/// No rank, in send_recv().
inline constexpr int nobody = -1;

/// What all collectives of a run are opened with.
struct CollectiveOptions {
  double hang_timeout = 120.0;  ///< s that the device may be waited for, where the library can be watched and ended
};

/// All calls are collective over the ranks of the object unless said otherwise, and ordered like all work of the device
/// (device.hpp): complete after Device::synchronize(), barrier() on return. Counts are elements, of any number. `send`
/// may equal `receive` where "in place" is said; otherwise they do not overlap. What a reduction accepts: can_reduce()
/// and refuses(); what only moves data takes every type whose elements are whole bytes.
class Collective {
 public:
  Collective() = default;
  Collective(const Collective&) = delete;
  Collective& operator=(const Collective&) = delete;
  virtual ~Collective() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  /// The same ranks for words between their hosts, which need no device: those pass where a device has failed, and
  /// nobody watches how long they take. Null: there is one rank alone.
  [[nodiscard]] virtual const mpi::Communicator* ranks() const { return nullptr; }
  /// "MPI: Open MPI v4.1.4"
  [[nodiscard]] virtual std::string implementation() const = 0;

  /// receive[i] = reduction over ranks of send[i]; in place where send == receive.
  virtual void all_reduce(const void* send, void* receive, std::size_t count, DataType type,
                          Reduction reduction = Reduction::sum) = 0;
  /// As all_reduce, but on `root` alone and never in place (MPICH 4.0 crashes there); elsewhere `receive` is not looked
  /// at.
  virtual void reduce(const void* send, void* receive, std::size_t count, DataType type, int root,
                      Reduction reduction = Reduction::sum) = 0;
  /// receive[i] = reduction over ranks of send[rank() * count + i].
  virtual void reduce_scatter(const void* send, void* receive, std::size_t count, DataType type,
                              Reduction reduction = Reduction::sum) = 0;
  /// receive[r * count + i] = send[i] of rank r.
  virtual void all_gather(const void* send, void* receive, std::size_t count, DataType type) = 0;
  /// receive[r * count + i] = send[rank() * count + i] of rank r.
  virtual void all_to_all(const void* send, void* receive, std::size_t count, DataType type) = 0;
  /// data of `root` to all.
  virtual void broadcast(void* data, std::size_t count, DataType type, int root) = 0;
  /// Sends `send` to rank `to` and receives as much from rank `from` at the same time; either may be this rank, and
  /// either may be `nobody`: nothing goes or comes on that side, and its pointer is not looked at. Not collective:
  /// those who name each other call it, with equal count and type.
  virtual void send_recv(const void* send, int to, void* receive, int from, std::size_t count, DataType type) = 0;
  /// Complete on return, and so is all that the device was asked for before.
  virtual void barrier() = 0;
  /// Not empty: this library does not reduce the type on these devices, and why. The same on every rank.
  [[nodiscard]] virtual std::string refuses(DataType /*type*/, Reduction /*reduction*/) const { return {}; }
  /// The library knows memory that is registered with it. The same on every rank.
  [[nodiscard]] virtual bool can_register() const { return false; }
  /// Not collective. Device memory for messages that the library sends from and receives in without copies of its own;
  /// null unless can_register(). It must not outlive this object.
  [[nodiscard]] virtual std::unique_ptr<Buffer> allocate_registered(std::size_t /*bytes*/) { return nullptr; }
  /// What carried out the collective that was asked for last, and how as far as the library says: "NCCL 2.28.9:
  /// algorithm RING, protocol LL128, 8 channels"; empty: there is nothing to tell.
  [[nodiscard]] virtual std::string choice() const { return {}; }
  /// May be called in what Device::record() records.
  [[nodiscard]] virtual bool can_be_recorded() const { return false; }
  /// Collective. A sub-group: ranks of one colour (>= 0), ordered by their rank here.
  [[nodiscard]] virtual std::unique_ptr<Collective> split(int color) = 0;
};

/// Collective over the ranks of `collective`: mpi::agree() over them. Around everything that can fail on one rank alone
/// and is followed by a collective, or the others wait in it for ever.
template <typename Action>
void agree(const Collective& collective, Action&& action) {
  if (collective.ranks() == nullptr) return action();
  mpi::agree(*collective.ranks(), std::forward<Action>(action));
}

}  // namespace rackproof

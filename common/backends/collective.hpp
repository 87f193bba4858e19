// Collectives over device memory. One implementation a backend.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "common/backends/reduction.hpp"
#include "common/core/data_type.hpp"

namespace rackproof {

/// No rank, in send_recv().
inline constexpr int nobody = -1;

/// All calls are collective over the ranks of the object unless said otherwise, and ordered like all work of the device
/// (device.hpp): complete after Device::synchronize(), barrier() on return. Counts are elements, of any number. `send` may equal `receive` where "in place" is said; otherwise they do not overlap. What a
/// reduction accepts: can_reduce(); what only moves data takes every type.
class Collective {
 public:
  Collective() = default;
  Collective(const Collective&) = delete;
  Collective& operator=(const Collective&) = delete;
  virtual ~Collective() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
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
  virtual void barrier() = 0;
  /// May be called in what Device::record() records.
  [[nodiscard]] virtual bool can_be_recorded() const { return false; }
  /// Collective. A sub-group: ranks of one colour (>= 0), ordered by their rank here.
  [[nodiscard]] virtual std::unique_ptr<Collective> split(int color) = 0;
};

}  // namespace rackproof

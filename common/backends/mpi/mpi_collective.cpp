#include "common/backends/mpi/mpi_collective.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof {
namespace {

MPI_Datatype mpi_type(DataType type) {
  switch (type) {
    case DataType::f64:
      return MPI_DOUBLE;
    case DataType::f32:
      return MPI_FLOAT;
    case DataType::f16:
    case DataType::bf16:
      return MPI_UINT16_T;
    case DataType::f8e4m3:
    case DataType::f8e5m2:
    case DataType::u8:
      return MPI_UINT8_T;
    case DataType::i64:
      return MPI_INT64_T;
    case DataType::u64:
      return MPI_UINT64_T;
    case DataType::i32:
      return MPI_INT32_T;
    case DataType::u32:
      return MPI_UINT32_T;
    case DataType::i8:
      return MPI_INT8_T;
    default:
      break;
  }
  throw Error(ExitCode::internal, "mpi", static_cast<int>(type), "", "a data type that MPI has no equal for");
}

}  // namespace

MpiCollective::MpiCollective(const mpi::Communicator& ranks, std::size_t largest_call)
    : MpiCollective(ranks.duplicate(), std::make_shared<const SmallFloatReductions>(), largest_call) {}

MpiCollective::MpiCollective(mpi::Communicator ranks, std::shared_ptr<const SmallFloatReductions> small_floats,
                             std::size_t largest_call)
    : ranks_(std::move(ranks)), small_floats_(std::move(small_floats)), largest_call_(largest_call) {}

std::string MpiCollective::implementation() const {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  mpi::check(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  // "Open MPI v4.1.4, package: ..." or "MPICH Version:\t4.0.2\nMPICH Release date: ...": the first line, its first
  // part.
  std::string name(text.data(), static_cast<std::size_t>(std::max(length, 0)));
  name.resize(std::min(name.find_first_of(",\r\n"), name.size()));
  name.resize(std::min(name.find('\0'), name.size()));
  std::replace(name.begin(), name.end(), '\t', ' ');
  name.resize(name.find_last_not_of(' ') + 1);
  return "MPI: " + printable(name);
}

MPI_Op MpiCollective::operation(DataType type, Reduction reduction) const {
  if (!can_reduce(type, reduction)) {
    throw Error(ExitCode::internal, "mpi", 0, "",
                fmt::format("{} of {} would overflow; it is not offered", name(reduction), name(type)));
  }
  if (is_small_float(type)) return small_floats_->handle(type, reduction);
  switch (reduction) {
    case Reduction::sum:
      return MPI_SUM;
    case Reduction::min:
      return MPI_MIN;
    case Reduction::max:
      return MPI_MAX;
    case Reduction::prod:
      return MPI_PROD;
  }
  throw Error(ExitCode::internal, "mpi", static_cast<int>(reduction), "", "a reduction that does not exist");
}

void MpiCollective::all_reduce(const void* send, void* receive, std::size_t count, DataType type, Reduction reduction) {
  const MPI_Op what = operation(type, reduction);
  const std::size_t size = size_of(type);
  mpi::in_pieces(count, largest_call_, [&](std::size_t offset, int piece) {
    const void* from = send == receive ? MPI_IN_PLACE : static_cast<const std::byte*>(send) + offset * size;
    mpi::check(MPI_Allreduce(from, static_cast<std::byte*>(receive) + offset * size, piece, mpi_type(type), what,
                             ranks_.handle()),
               "MPI_Allreduce");
  });
}

void MpiCollective::reduce(const void* send, void* receive, std::size_t count, DataType type, int root,
                           Reduction reduction) {
  const MPI_Op what = operation(type, reduction);
  const bool here = rank() == root;
  mpi::in_pieces(count, largest_call_, [&](std::size_t offset, int piece) {
    const std::size_t bytes = offset * size_of(type);
    mpi::check(MPI_Reduce(static_cast<const std::byte*>(send) + bytes,
                          here ? static_cast<std::byte*>(receive) + bytes : nullptr, piece, mpi_type(type), what, root,
                          ranks_.handle()),
               "MPI_Reduce");
  });
}

void MpiCollective::reduce_scatter(const void* send, void* receive, std::size_t count, DataType type,
                                   Reduction reduction) {
  // The library adds up vectors of all blocks, so that the length of these is what has to fit.
  if (count <= largest_call_ / static_cast<std::size_t>(size())) {
    mpi::check(MPI_Reduce_scatter_block(send, receive, static_cast<int>(count), mpi_type(type),
                                        operation(type, reduction), ranks_.handle()),
               "MPI_Reduce_scatter_block");
    return;
  }
  // Blocks that one call cannot take: each is reduced to its rank.
  const std::size_t bytes = count * size_of(type);
  for (int r = 0; r < size(); ++r) {
    reduce(static_cast<const std::byte*>(send) + static_cast<std::size_t>(r) * bytes, receive, count, type, r,
           reduction);
  }
}

void MpiCollective::all_gather(const void* send, void* receive, std::size_t count, DataType type) {
  if (count <= largest_call_) {
    const int n = static_cast<int>(count);
    mpi::check(MPI_Allgather(send, n, mpi_type(type), receive, n, mpi_type(type), ranks_.handle()), "MPI_Allgather");
    return;
  }
  // Rows that one call cannot take: each rank tells its own to all.
  const std::size_t bytes = count * size_of(type);
  for (int r = 0; r < size(); ++r) {
    std::byte* const row = static_cast<std::byte*>(receive) + static_cast<std::size_t>(r) * bytes;
    if (r == rank()) std::memcpy(row, send, bytes);
    broadcast(row, count, type, r);
  }
}

void MpiCollective::all_to_all(const void* send, void* receive, std::size_t count, DataType type) {
  if (count <= largest_call_) {
    const int n = static_cast<int>(count);
    mpi::check(MPI_Alltoall(send, n, mpi_type(type), receive, n, mpi_type(type), ranks_.handle()), "MPI_Alltoall");
    return;
  }
  // Blocks that one call cannot take: in each round every rank sends one and receives one, its own block first.
  const std::size_t bytes = count * size_of(type);
  for (int distance = 0; distance < size(); ++distance) {
    const int to = (rank() + distance) % size();
    const int from = (rank() + size() - distance) % size();
    send_recv(static_cast<const std::byte*>(send) + static_cast<std::size_t>(to) * bytes, to,
              static_cast<std::byte*>(receive) + static_cast<std::size_t>(from) * bytes, from, count, type);
  }
}

void MpiCollective::broadcast(void* data, std::size_t count, DataType type, int root) {
  mpi::in_pieces(count, largest_call_, [&](std::size_t offset, int piece) {
    mpi::check(
        MPI_Bcast(static_cast<std::byte*>(data) + offset * size_of(type), piece, mpi_type(type), root, ranks_.handle()),
        "MPI_Bcast");
  });
}

void MpiCollective::send_recv(const void* send, int to, void* receive, int from, std::size_t count, DataType type) {
  // All pieces under one tag: messages between two ranks do not overtake each other.
  constexpr int tag = 0;
  const bool sends = to != nobody;
  const bool receives = from != nobody;
  mpi::in_pieces(count, largest_call_, [&](std::size_t offset, int piece) {
    const std::size_t bytes = offset * size_of(type);
    // Open MPI refuses a null pointer with a count above 0, even for MPI_PROC_NULL.
    mpi::check(MPI_Sendrecv(sends ? static_cast<const std::byte*>(send) + bytes : nullptr, sends ? piece : 0,
                            mpi_type(type), sends ? to : MPI_PROC_NULL, tag,
                            receives ? static_cast<std::byte*>(receive) + bytes : nullptr, receives ? piece : 0,
                            mpi_type(type), receives ? from : MPI_PROC_NULL, tag, ranks_.handle(), MPI_STATUS_IGNORE),
               "MPI_Sendrecv");
  });
}

std::unique_ptr<Collective> MpiCollective::split(int color) {
  return std::unique_ptr<Collective>(new MpiCollective(ranks_.split(color, rank()), small_floats_, largest_call_));
}

}  // namespace rackproof

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
    case DataType::bf16:
      return MPI_UINT16_T;
    case DataType::i32:
      return MPI_INT32_T;
    case DataType::i8:
      return MPI_INT8_T;
  }
  throw Error(ExitCode::internal, "mpi", static_cast<int>(type), "", "a data type that does not exist");
}

}  // namespace

MpiCollective::MpiCollective(const mpi::Communicator& ranks, std::size_t largest_call)
    : MpiCollective(ranks.duplicate(), std::make_shared<const Bf16Sum>(), largest_call) {}

MpiCollective::MpiCollective(mpi::Communicator ranks, std::shared_ptr<const Bf16Sum> bf16_sum, std::size_t largest_call)
    : ranks_(std::move(ranks)), bf16_sum_(std::move(bf16_sum)), largest_call_(largest_call) {}

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

void MpiCollective::all_reduce(const void* send, void* receive, std::size_t count, DataType type) {
  if (type == DataType::i8) {
    throw Error(ExitCode::internal, "mpi", 0, "", "all-reduce of i8 would overflow; it is not offered");
  }
  const MPI_Op operation = type == DataType::bf16 ? bf16_sum_->handle() : MPI_SUM;
  const std::size_t size = size_of(type);
  mpi::in_pieces(count, largest_call_, [&](std::size_t offset, int piece) {
    const void* from = send == receive ? MPI_IN_PLACE : static_cast<const std::byte*>(send) + offset * size;
    mpi::check(MPI_Allreduce(from, static_cast<std::byte*>(receive) + offset * size, piece, mpi_type(type), operation,
                             ranks_.handle()),
               "MPI_Allreduce");
  });
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
  return std::unique_ptr<Collective>(new MpiCollective(ranks_.split(color, rank()), bf16_sum_, largest_call_));
}

}  // namespace rackproof

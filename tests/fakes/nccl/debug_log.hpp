// What NCCL 2.28 writes where NCCL_DEBUG asks for it: its version, that a communicator is complete, and with
// NCCL_DEBUG_SUBSYS=TUNING (or ALL) the algorithm and protocol of each collective.
#pragma once

#include <cstddef>
#include <string>

namespace rackproof::fake_nccl {

/// Algorithm and protocol that NCCL would name for a collective of so many bytes: what NCCL_ALGO and NCCL_PROTO ask
/// for, else a ring, with a protocol by size.
struct Tuning {
  const char* algorithm;  ///< NCCL's own names, which live as long as the process
  const char* protocol;
  int channels;
};
[[nodiscard]] Tuning choose_tuning(std::size_t bytes);

/// What ncclGetLastError() gives: one text for the whole process, whatever communicator it is asked of.
void set_last_error(const std::string& text);
[[nodiscard]] const char* last_error();

void log_version();
void log_init(int device, const std::string& text);
/// "AllReduce: 4096 Bytes -> Algo RING proto LL channel{Lo..Hi}={0..0}"
void log_tuning(int device, const std::string& function, std::size_t bytes, const Tuning& tuning);
void log_warning(int device, const std::string& text);

}  // namespace rackproof::fake_nccl

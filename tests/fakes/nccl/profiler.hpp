// NCCL's profiler plug-in, version 4 of its interface (NCCL 2.27 on, src/include/plugin/profiler/profiler_v4.h), as far
// as collectives go: NCCL_PROFILER_PLUGIN=STATIC_PLUGIN makes NCCL look in the program itself for the symbol
// ncclProfiler_v4, which it then tells what it runs each collective with.
#pragma once

#include <nccl.h>

#include <cstddef>
#include <memory>
#include <string>

#include "tests/fakes/nccl/debug_log.hpp"

namespace rackproof::fake_nccl {

struct ProfilerPlugin;

/// What the plug-in is told of one communicator; nothing where there is none.
class Profiler {
 public:
  Profiler(const std::string& communicator_name, int ranks, int rank);
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;
  ~Profiler();
  /// function: "AllReduce"; data_type: "ncclFloat32".
  void collective(const char* function, std::size_t count, const char* data_type, const Tuning& tuning);

 private:
  const ProfilerPlugin* plugin_;
  void* context_ = nullptr;
  int rank_;
  unsigned long long number_ = 0;
};

}  // namespace rackproof::fake_nccl

#include "common/backends/host/host_device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/backends/host/blas_matmul.hpp"
#include "common/backends/host/onednn.hpp"
#include "common/backends/host/onednn_matmul.hpp"
#include "common/backends/host/peaks.hpp"
#include "common/backends/host/threads.hpp"
#include "common/backends/host/token_kernels.hpp"
#include "common/core/error.hpp"
#include "common/core/units.hpp"

namespace rackproof::host {
namespace {

/// Where no cache can be read: larger than most cores' share of one.
constexpr std::size_t assumed_cache = std::size_t{32} << 20U;

void require(bool condition, const char* what) {
  if (!condition) throw Error(ExitCode::internal, "host", 0, "matmul", what);
}

/// Where the CPU has its types.
bool is_offered(const MatmulProblem& problem) {
  const auto is = [&](DataType input, DataType output) { return problem.input == input && problem.output == output; };
  const bool types = is(DataType::f64, DataType::f64) || is(DataType::f32, DataType::f32) ||
                     is(DataType::bf16, DataType::f32) || is(DataType::bf16, DataType::bf16) ||
                     is(DataType::i8, DataType::i32);
  return types && problem.scaling == Scaling::none;
}

void check_problem(const MatmulProblem& problem) {
  require(problem.m > 0 && problem.n > 0 && problem.k > 0, "a product without rows or columns");
  require(problem.layout == WeightLayout::plain || !problem.transposed_weights, "packed weights are never transposed");
  require(is_offered(problem), "a product of types that the host does not offer");
}

}  // namespace

HostDevice::HostDevice(const DeviceRequest& request)
    : request_(request),
      cpu_(read_cpu()),
      threads_(set_threads_of_rank(cpu_, request)),
      memory_share_(memory_available_now() / static_cast<std::size_t>(std::max(1, request.ranks_on_node))),
      allocated_(std::make_shared<std::atomic<std::size_t>>(0)),
      engine_(
          onednn::check("engine_create", "starting oneDNN", [] { return dnnl::engine(dnnl::engine::kind::cpu, 0); })),
      blas_(std::make_shared<const Blas>()),
      has_bf16_(onednn_multiplies(engine_, DataType::bf16)),
      has_i8_(onednn_multiplies(engine_, DataType::i8)) {
  blas_->set_threads(threads_);
  token_kernels_ = make_host_token_kernels(threads_);
}

std::string HostDevice::name() const {
  return fmt::format("{}, {} thread{}", cpu_.model, threads_, threads_ == 1 ? "" : "s");
}

std::string HostDevice::id() const { return fmt::format("host:{}", request_.local_rank); }

std::size_t HostDevice::memory_available() const {
  const std::size_t now = memory_available_now();
  const std::size_t held = allocated_->load();
  return std::min(now, memory_share_ - std::min(memory_share_, held));
}

std::size_t HostDevice::cache_bytes() const {
  if (cpu_.cache_bytes == 0) return assumed_cache;
  const std::size_t share = cpu_.cache_bytes / static_cast<std::size_t>(std::max(1, request_.ranks_on_node));
  return std::min(cpu_.bound_cache_bytes, share);
}

bool HostDevice::supports(DataType type) const {
  switch (type) {
    case DataType::bf16:
      return has_bf16_;
    case DataType::i8:
      return has_i8_;
    case DataType::tf32:
    case DataType::f16:
    case DataType::f8e4m3:
    case DataType::f8e5m2:
    case DataType::f4e2m1:
      return false;
    default:
      return true;
  }
}

std::string HostDevice::refuses(const MatmulProblem& problem) const {
  if (is_offered(problem) && supports(problem.input)) return {};
  return fmt::format("this device multiplies no {} (scaling {}) into {}", rackproof::name(problem.input),
                     rackproof::name(problem.scaling), rackproof::name(problem.output));
}

std::unique_ptr<Buffer> HostDevice::allocate(std::size_t bytes) {
  const std::size_t room = memory_available();
  // Linux promises more than it has and kills the process when the pages are touched: so ask first.
  if (bytes > room) {
    throw infrastructure_error(
        fmt::format("{} of memory were asked for, {} are available to this rank; use fewer ranks a node or a smaller "
                    "case",
                    format_bytes(static_cast<double>(bytes)), format_bytes(static_cast<double>(room))),
        {.host = "", .rank = -1, .device = id()});
  }
  return std::make_unique<HostBuffer>(bytes, allocated_, room);
}

void HostDevice::copy_to_device(void* device, const void* host, std::size_t bytes) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}

void HostDevice::copy_to_host(void* host, const void* device, std::size_t bytes) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

void HostDevice::copy(void* to, const void* from, std::size_t bytes) {
  // Whole pages each, so that no two threads write to one.
  constexpr std::size_t page = 4096;
  const std::size_t pages = (bytes + page - 1) / page;
  const auto threads = static_cast<std::size_t>(threads_);
#pragma omp parallel for schedule(static) num_threads(threads_)
  for (std::size_t thread = 0; thread < threads; ++thread) {
    const std::size_t begin = std::min(bytes, pages * thread / threads * page);
    const std::size_t end = std::min(bytes, pages * (thread + 1) / threads * page);
    if (end > begin) {
      std::memcpy(static_cast<std::byte*>(to) + begin, static_cast<const std::byte*>(from) + begin, end - begin);
    }
  }
}

std::unique_ptr<Matmul> HostDevice::matmul(const MatmulProblem& problem) {
  check_problem(problem);
  if (problem.input == DataType::f64) return make_blas_matmul(blas_, problem);
  return make_onednn_matmul(engine_, problem, allocated_);
}

Peaks HostDevice::measure_peaks() { return measure_host_peaks(*this); }

}  // namespace rackproof::host

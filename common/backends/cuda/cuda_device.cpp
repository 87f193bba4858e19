#include "common/backends/cuda/cuda_device.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/core/units.hpp"

namespace rackproof::cuda {
namespace {

class CudaBuffer final : public Buffer {
 public:
  explicit CudaBuffer(void* data, std::size_t bytes) : data_(data), bytes_(bytes) {}
  ~CudaBuffer() override { log_unless_success(cudaFree(data_), "cudaFree"); }
  [[nodiscard]] void* data() const noexcept override { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept override { return bytes_; }

 private:
  void* data_;
  std::size_t bytes_;
};

int choose_index(const DeviceRequest& request) {
  int devices = 0;
  check(cudaGetDeviceCount(&devices), "cudaGetDeviceCount");
  if (devices == 1) return 0;  // one a task, as Slurm gives them
  if (request.local_rank >= devices) {
    throw usage_error(
        fmt::format("{} ranks on this node, but {} GPUs: start one rank a GPU", request.ranks_on_node, devices));
  }
  return request.local_rank;
}

cudaDeviceProp read_properties(int index) {
  check(cudaSetDevice(index), "cudaSetDevice");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  return properties;
}

Stream make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return Stream(stream);
}

std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

}  // namespace

int count_devices() {
  int devices = 0;
  const bool found = cudaGetDeviceCount(&devices) == cudaSuccess;
  (void)cudaGetLastError();
  return found ? devices : 0;
}

CudaDevice::CudaDevice(const DeviceRequest& request)
    : index_(choose_index(request)),
      threads_(std::max(1, request.threads)),
      properties_(read_properties(index_)),
      stream_(make_stream()) {}

std::string CudaDevice::serial() const { return uuid_text(properties_.uuid); }
std::string CudaDevice::id() const { return fmt::format("cuda:{}", index_); }
std::map<std::string, std::string> CudaDevice::facts() const { return {{"uuid", uuid_text(properties_.uuid)}}; }
Place CudaDevice::place() const { return {.host = "", .rank = -1, .device = id() + " " + uuid_text(properties_.uuid)}; }

std::size_t CudaDevice::memory_available() const {
  std::size_t available = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&available, &total), "cudaMemGetInfo", place());
  return available;
}

std::size_t CudaDevice::cache_bytes() const { return static_cast<std::size_t>(properties_.l2CacheSize); }

std::unique_ptr<Buffer> CudaDevice::allocate(std::size_t bytes) {
  void* data = nullptr;
  check(cudaMalloc(&data, std::max<std::size_t>(bytes, 1)), "cudaMalloc", place());
  return std::make_unique<CudaBuffer>(data, bytes);
}

void CudaDevice::copy_to_device(void* device, const void* host, std::size_t bytes) {
  // From pageable memory: returns when the data have left it.
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream()), "cudaMemcpyAsync", place());
  synchronize();
}

void CudaDevice::copy_to_host(void* host, const void* device, std::size_t bytes) {
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream()), "cudaMemcpyAsync", place());
  synchronize();
}

void CudaDevice::copy(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()), "cudaMemcpyAsync", place());
}

void CudaDevice::synchronize() {
  cudaError_t state = cudaErrorNotReady;
  while ((state = cudaStreamQuery(stream())) == cudaErrorNotReady) {
    if (while_waiting_) while_waiting_();
  }
  check(state, "cudaStreamQuery", place());
}

}  // namespace rackproof::cuda

#include "common/backends/cuda/cuda_device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <utility>

#include "common/backends/cuda/buffers.hpp"
#include "common/backends/cuda/data_sheet.hpp"
#include "common/backends/cuda/event_timer.hpp"
#include "common/backends/cuda/graph_recording.hpp"
#include "common/backends/cuda/measured_peaks.hpp"
#include "common/backends/cuda/nvml_telemetry.hpp"
#include "common/backends/cuda/token_kernels.hpp"
#include "common/backends/host/threads.hpp"
#include "common/core/units.hpp"
#include "common/system/identity.hpp"
#include "common/system/pci.hpp"

namespace rackproof::cuda {
namespace {

/// Compute capability that the oldest code in this build is for.
constexpr int oldest_capability = 80;
/// Copies of less pageable memory are left to the driver.
constexpr std::size_t large_copy = std::size_t{4} << 20U;

/// "13.0" for 13000
std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

int driver_version() {
  int version = 0;
  check(cudaDriverGetVersion(&version), "cudaDriverGetVersion");
  return version;
}

int runtime_version() {
  int version = 0;
  check(cudaRuntimeGetVersion(&version), "cudaRuntimeGetVersion");
  return version;
}

Place here() { return {.host = host_name(), .rank = -1, .device = ""}; }

Error usage_error_here(cudaError_t code, const std::string& what) {
  return {ExitCode::usage, "cuda", static_cast<int>(code), "cudaGetDeviceCount", what, here()};
}

/// Throws Error that tells a missing driver, an old one and a missing GPU apart.
int count_or_explain() {
  int devices = 0;
  const cudaError_t code = cudaGetDeviceCount(&devices);
  if (code == cudaSuccess && devices > 0) return devices;
  (void)cudaGetLastError();
  constexpr std::string_view otherwise = "or run with --device host";
  const int driver = driver_version();
  if (driver == 0) {
    throw usage_error_here(code,
                           fmt::format("--device cuda: no NVIDIA driver is loaded on this node; load it (nvidia-smi "
                                       "must work), {}",
                                       otherwise));
  }
  if (code == cudaErrorInsufficientDriver) {
    throw usage_error_here(code, fmt::format("--device cuda: the NVIDIA driver is for CUDA {}, older than the CUDA {} "
                                             "runtime; install a newer driver, build with an older CUDA Toolkit, {}",
                                             version_text(driver), version_text(runtime_version()), otherwise));
  }
  if (code == cudaSuccess || code == cudaErrorNoDevice || code == cudaErrorInvalidDevice) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    throw usage_error_here(
        code, fmt::format("--device cuda: no GPU is visible (CUDA_VISIBLE_DEVICES is {}); see 'nvidia-smi -L', ask the "
                          "scheduler for GPUs, {}",
                          visible == nullptr ? "not set" : "'" + printable(visible) + "'", otherwise));
  }
  check(code, "cudaGetDeviceCount", here());
  return devices;
}

cudaDeviceProp open_properties(int index) {
  const Place place{.host = host_name(), .rank = -1, .device = fmt::format("cuda:{}", index)};
  check(cudaSetDevice(index), "cudaSetDevice", place);
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties", place);
  if (10 * properties.major + properties.minor < oldest_capability) {
    throw Error(
        ExitCode::usage, "cuda", 0, "",
        fmt::format("--device cuda: {} has compute capability {}.{}, and rackproof needs {}.{} or later; run with "
                    "--device host",
                    properties.name, properties.major, properties.minor, oldest_capability / 10,
                    oldest_capability % 10),
        place);
  }
  return properties;
}

std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

std::string pci_text(const cudaDeviceProp& properties) {
  return fmt::format("{:04x}:{:02x}:{:02x}.0", properties.pciDomainID, properties.pciBusID, properties.pciDeviceID);
}

std::map<std::string, std::string> identify(const cudaDeviceProp& properties) {
  return {{"uuid", uuid_text(properties.uuid)},
          {"pci_bus_id", pci_text(properties)},
          {"compute_capability", fmt::format("{}.{}", properties.major, properties.minor)},
          {"multiprocessors", fmt::format("{}", properties.multiProcessorCount)},
          {"memory_bytes", fmt::format("{}", properties.totalGlobalMem)},
          {"ecc", properties.ECCEnabled != 0 ? "on" : "off"},
          {"cuda_driver", version_text(driver_version())},
          {"cuda_runtime", version_text(runtime_version())}};
}

std::optional<NvmlGpu> find_gpu(const std::shared_ptr<const Nvml>& nvml, const std::string& uuid,
                                const std::string& pci_bus_id) {
  if (nvml == nullptr) return std::nullopt;
  const nvml::Device device = nvml->find(uuid, pci_bus_id);
  if (device == nullptr) return std::nullopt;
  return NvmlGpu(nvml, device);
}

Stream make_stream(const CudaDevice& device) {
  cudaStream_t stream = nullptr;
  device.require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return own(stream, device.broken());
}

}  // namespace

namespace {

/// Those too that there is no code for.
int count_visible() {
  int devices = 0;
  const cudaError_t code = cudaGetDeviceCount(&devices);
  (void)cudaGetLastError();
  // A node without a GPU, as most that are used to build. What is there and does not work must not look like that.
  if (code == cudaErrorNoDevice || (code == cudaErrorInsufficientDriver && driver_version() == 0)) return 0;
  return code == cudaSuccess ? devices : count_or_explain();
}

}  // namespace

std::vector<std::map<std::string, std::string>> describe_devices() {
  const std::shared_ptr<const Nvml> nvml = Nvml::load();
  std::vector<std::map<std::string, std::string>> all;
  for (int index = 0; index < count_visible(); ++index) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties", here());
    auto& facts = all.emplace_back(identify(properties));
    facts["id"] = fmt::format("cuda:{}", index);
    facts["name"] = properties.name;
    if (nvml != nullptr) facts["driver"] = nvml->driver_version();
    if (const auto gpu = find_gpu(nvml, facts["uuid"], facts["pci_bus_id"])) facts["serial"] = gpu->serial();
  }
  return all;
}

int count_devices() {
  const int devices = count_visible();
  int usable = 0;
  for (int index = 0; index < devices; ++index) {
    int major = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index), "cudaDeviceGetAttribute", here());
    if (10 * major >= oldest_capability) ++usable;
  }
  return usable;
}

int choose_device(int devices, const DeviceRequest& request) { return request.local_rank % devices; }

bool computes(int capability, DataType type) {
  switch (type) {
    case DataType::f8e4m3:
    case DataType::f8e5m2:
      return capability >= 89;
    case DataType::f4e2m1:
      return capability >= 100;
    default:
      return capability >= oldest_capability;
  }
}

CudaDevice::CudaDevice(const DeviceRequest& request)
    : broken_(std::make_shared<std::atomic<bool>>(false)),
      hang_timeout_(request.hang_timeout),
      index_(choose_device(count_or_explain(), request)),
      threads_(host::set_threads_of_rank(host::read_cpu(), request)),
      properties_(open_properties(index_)),
      uuid_(uuid_text(properties_.uuid)),
      pci_bus_id_(pci_text(properties_)),
      nvml_(Nvml::load()),
      gpu_(find_gpu(nvml_, uuid_, pci_bus_id_)),
      serial_(gpu_ ? gpu_->serial() : std::string()),
      facts_(find_facts()),
      stream_(make_stream(*this)) {
  require_code();
}

CudaDevice::~CudaDevice() = default;

void CudaDevice::require_code() const {
  const cudaError_t code = find_code();
  switch (code) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:  // the same, of some versions
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorInvalidKernelImage:
      (void)cudaGetLastError();
      throw Error(
          ExitCode::usage, "cuda", static_cast<int>(code), "cudaFuncGetAttributes",
          fmt::format("--device cuda: this build has code for the architectures {} and none for {}, of compute "
                      "capability {}.{}; configure it with -DRACKPROOF_CUDA_ARCHITECTURES={}, or run with "
                      "--device host",
                      RACKPROOF_CUDA_CODE, properties_.name, properties_.major, properties_.minor, capability()),
          place());
    default:
      require(code, "cudaFuncGetAttributes");
  }
}

std::string CudaDevice::serial() const { return serial_.empty() ? uuid_ : serial_; }
std::string CudaDevice::id() const { return fmt::format("cuda:{}", index_); }
bool CudaDevice::is_fake() const { return std::string_view(properties_.name).find("[fake]") != std::string_view::npos; }

Place CudaDevice::place() const {
  std::string device = fmt::format("{} {}", id(), uuid_);
  if (!serial_.empty()) device += " serial " + serial_;
  return {.host = host_name(), .rank = -1, .device = device};
}

std::map<std::string, std::string> CudaDevice::find_facts() const {
  std::map<std::string, std::string> facts = identify(properties_);
  facts["host_threads"] = fmt::format("{}", threads_);
  if (const int node = numa_node_of_pci(pci_bus_id_); node >= 0) facts["numa_node"] = fmt::format("{}", node);
  if (const NearestInterfaces near = nearest_interfaces(pci_bus_id_); !near.names.empty()) {
    facts["nearest_interfaces"] = fmt::format("{}", fmt::join(near.names, ","));
    facts["nearest_interfaces_through"] = to_string(near.distance);
  }
  if (nvml_ != nullptr) facts["driver"] = nvml_->driver_version();
  if (!gpu_) return facts;
  facts["serial"] = serial_;
  if (const auto limit = gpu_->power_limit()) facts["power_limit_watts"] = fmt::format("{:.0f}", *limit);
  if (const auto generation = gpu_->pcie_generation()) facts["pcie_generation"] = fmt::format("{}", *generation);
  if (const auto width = gpu_->pcie_width()) facts["pcie_width"] = fmt::format("{}", *width);
  if (const auto links = gpu_->nvlinks()) facts["nvlinks_active"] = fmt::format("{}", links->active);
  return facts;
}

void CudaDevice::require(cudaError_t code, const char* call) const {
  if (code == cudaSuccess) return;
  if (is_sticky(code)) {
    broken_->store(true);
    if (gpu_ && gpu_->is_lost()) {
      (void)cudaGetLastError();
      throw Error(
          ExitCode::infrastructure, "cuda", static_cast<int>(code), call,
          fmt::format(
              "the driver has lost the GPU: off the bus, or in need of a reset (CUDA says '{}'); drain the node and "
              "see its kernel log for an Xid",
              cudaGetErrorString(code)),
          place());
    }
  }
  check(code, call, place());
}

std::size_t CudaDevice::memory_available() const {
  std::size_t available = 0;
  std::size_t total = 0;
  require(cudaMemGetInfo(&available, &total), "cudaMemGetInfo");
  constexpr std::size_t largest_reserve = std::size_t{1} << 30U;
  return available - std::min(available, std::min(total / 32, largest_reserve));
}

std::size_t CudaDevice::cache_bytes() const { return static_cast<std::size_t>(properties_.l2CacheSize); }
bool CudaDevice::supports(DataType type) const { return computes(capability(), type); }

std::unique_ptr<Buffer> CudaDevice::allocate(std::size_t bytes) { return make_device_buffer(*this, bytes); }

std::unique_ptr<Buffer> CudaDevice::allocate_pinned(std::size_t bytes) { return make_pinned_buffer(*this, bytes); }

bool CudaDevice::wants_staging(const void* host, std::size_t bytes) const {
  if (bytes < large_copy || is_coherent_with_host()) return false;
  cudaPointerAttributes attributes{};
  require(cudaPointerGetAttributes(&attributes, host), "cudaPointerGetAttributes");
  return attributes.type == cudaMemoryTypeUnregistered;
}

Staging& CudaDevice::staging() {
  if (!staging_) staging_ = std::make_unique<Staging>(*this);
  return *staging_;
}

void CudaDevice::copy_to_device(void* device, const void* host, std::size_t bytes) {
  if (bytes == 0) return;
  if (wants_staging(host, bytes)) return staging().to_device(device, host, bytes);
  // The driver may wait for all that is ahead of a copy of pageable memory, and would do so for ever where a collective
  // hangs. So it is waited for here, where while_waiting() can end it.
  synchronize();
  require(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream()), "cudaMemcpyAsync");
  // Pageable memory has been read by now on most systems, but not where the GPU reads it by itself (GH200).
  synchronize();
}

void CudaDevice::copy_to_host(void* host, const void* device, std::size_t bytes) {
  if (bytes == 0) return;
  if (wants_staging(host, bytes)) return staging().to_host(host, device, bytes);
  synchronize();  // for the same reason
  require(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream()), "cudaMemcpyAsync");
  synchronize();
}

void CudaDevice::copy(void* to, const void* from, std::size_t bytes) {
  require(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()), "cudaMemcpyAsync");
}

template <typename Query>
void CudaDevice::poll(Query&& query, const char* call) const {
  using std::chrono::steady_clock;
  constexpr double seconds_before_yielding = 1e-3;
  cudaError_t state = query();
  if (state == cudaErrorNotReady) {
    const auto began = steady_clock::now();
    do {
      // "Not ready" is kept as the last error.
      (void)cudaGetLastError();
      const double waited = std::chrono::duration<double>(steady_clock::now() - began).count();
      look(waited);
      if (waited > seconds_before_yielding) std::this_thread::yield();
      state = query();
    } while (state == cudaErrorNotReady);
  }
  require(state, call);
}

void CudaDevice::look(double waited) const {
  try {
    if (while_waiting_) while_waiting_(waited);
    if (waited > hang_timeout_) {
      throw Error(
          ExitCode::infrastructure, "cuda", 0, "",
          fmt::format("the GPU was not done after {} with what it was asked for; see the kernel log of the node "
                      "for an Xid and drain it where there is one, else run again (or allow more with "
                      "--hang-timeout)",
                      format_duration(waited)),
          place());
    }
  } catch (...) {
    // What is still running may never end: nothing may wait for it any more.
    give_up();
    throw;
  }
}

void CudaDevice::synchronize() {
  poll([this] { return cudaStreamQuery(stream()); }, "cudaStreamQuery");
  ++times_idle_;
}

bool CudaDevice::settles() noexcept {
  if (!is_usable()) return false;
  try {
    synchronize();
  } catch (...) {
    // The next who waits is told.
    give_up();
  }
  return is_usable();
}

void CudaDevice::wait(cudaEvent_t event) const {
  poll([event] { return cudaEventQuery(event); }, "cudaEventQuery");
}

std::unique_ptr<Recording> CudaDevice::record(std::function<void()> work) {
  (void)token_kernels();  // made when first asked for, which allocates: not while a stream is captured
  return record_graph(*this, [this, work = std::move(work)] {
    recording_ = true;
    try {
      work();
    } catch (...) {
      recording_ = false;
      throw;
    }
    recording_ = false;
  });
}

std::unique_ptr<DeviceTimer> CudaDevice::make_timer() { return make_event_timer(*this); }

std::unique_ptr<TelemetrySource> CudaDevice::telemetry() {
  if (!gpu_) return nullptr;
  return make_nvml_telemetry(*gpu_);
}

Peaks CudaDevice::measure_peaks() {
  if (const auto peaks = data_sheet_peaks(name())) return *peaks;
  return measure_gpu_peaks(*this);
}

}  // namespace rackproof::cuda

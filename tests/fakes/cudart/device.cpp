// What there is, and what it is.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>

#include "tests/fakes/cudart/runtime.hpp"

namespace rackproof::fake {
namespace {

cudaError_t check_device(int device) {
  return device >= 0 && device < static_cast<int>(runtime().devices.size()) ? cudaSuccess : cudaErrorInvalidDevice;
}

void fill_shape(cudaDeviceProp& properties, const Kind& kind) {
  properties.warpSize = 32;
  properties.maxThreadsPerBlock = 1024;
  properties.maxThreadsDim[0] = properties.maxThreadsDim[1] = 1024;
  properties.maxThreadsDim[2] = 64;
  properties.maxGridSize[0] = 0x7fffffff;
  properties.maxGridSize[1] = properties.maxGridSize[2] = 65535;
  properties.maxThreadsPerMultiProcessor = 2048;
  properties.maxBlocksPerMultiProcessor = 32;
  properties.multiProcessorCount = kind.multiprocessors;
  properties.regsPerBlock = properties.regsPerMultiprocessor = 65536;
  properties.sharedMemPerBlock = 48 * 1024;
  properties.sharedMemPerBlockOptin = static_cast<std::size_t>(kind.shared_kibibytes) * 1024;
  properties.sharedMemPerMultiprocessor = properties.sharedMemPerBlockOptin + 1024;
  properties.reservedSharedMemPerBlock = 1024;
  properties.totalConstMem = 65536;
}

void fill_abilities(cudaDeviceProp& properties, const Kind& kind) {
  properties.canMapHostMemory = properties.concurrentKernels = properties.ECCEnabled = 1;
  properties.asyncEngineCount = 3;
  properties.unifiedAddressing = properties.managedMemory = properties.concurrentManagedAccess = 1;
  properties.streamPrioritiesSupported = properties.computePreemptionSupported = 1;
  properties.globalL1CacheSupported = properties.localL1CacheSupported = 1;
  properties.canUseHostPointerForRegisteredMem = properties.cooperativeLaunch = 1;
  properties.hostRegisterSupported = properties.memoryPoolsSupported = 1;
  properties.clusterLaunch = kind.major >= 9 ? 1 : 0;
  properties.hostNativeAtomicSupported = kind.grace ? 1 : 0;
  properties.pageableMemoryAccess = properties.pageableMemoryAccessUsesHostPageTables = kind.grace ? 1 : 0;
  properties.directManagedMemAccessFromHost = kind.grace ? 1 : 0;
#if CUDART_VERSION >= 13000
  properties.hostNumaId = -1;
#endif
}

cudaDeviceProp properties_of(const DeviceState& device) {
  const Fleet& fleet = runtime().fleet;
  cudaDeviceProp properties{};
  // rackproof knows by "[fake]" that nothing it measures here is a GPU's.
  (void)std::snprintf(properties.name, sizeof properties.name, "%s [fake]", fleet.kind.name);
  std::memcpy(properties.uuid.bytes, device.identity.uuid.data(), device.identity.uuid.size());
  properties.totalGlobalMem = fleet.memory;
  properties.major = fleet.kind.major;
  properties.minor = fleet.kind.minor;
  properties.memoryBusWidth = fleet.kind.bus_bits;
#if CUDART_VERSION < 13000
  properties.clockRate = fleet.kind.clock_mhz * 1000;
  properties.memoryClockRate = fleet.kind.memory_clock_mhz * 1000;
#endif
  properties.l2CacheSize = fleet.kind.l2_mebibytes << 20;
  properties.persistingL2CacheMaxSize = properties.l2CacheSize / 4 * 3;
  properties.pciBusID = device.identity.pci_bus;
  fill_shape(properties, fleet.kind);
  fill_abilities(properties, fleet.kind);
  return properties;
}

std::optional<int> shape_attribute(const cudaDeviceProp& properties, cudaDeviceAttr attribute) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      return properties.maxThreadsPerBlock;
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      return 1024;
    case cudaDevAttrMaxBlockDimZ:
      return 64;
    case cudaDevAttrMaxGridDimX:
      return 0x7fffffff;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      return 65535;
    case cudaDevAttrWarpSize:
      return properties.warpSize;
    case cudaDevAttrMultiProcessorCount:
      return properties.multiProcessorCount;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return properties.maxThreadsPerMultiProcessor;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return properties.maxBlocksPerMultiProcessor;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return static_cast<int>(properties.sharedMemPerBlock);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return static_cast<int>(properties.sharedMemPerBlockOptin);
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return static_cast<int>(properties.sharedMemPerMultiprocessor);
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return static_cast<int>(properties.reservedSharedMemPerBlock);
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return properties.regsPerBlock;
    default:
      return std::nullopt;
  }
}

std::optional<int> ability_attribute(const cudaDeviceProp& properties, cudaDeviceAttr attribute) {
  switch (attribute) {
    case cudaDevAttrEccEnabled:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrComputePreemptionSupported:
    case cudaDevAttrCanUseHostPointerForRegisteredMem:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrMemoryPoolsSupported:
      return 1;
    case cudaDevAttrPageableMemoryAccess:
      return properties.pageableMemoryAccess;
    case cudaDevAttrPageableMemoryAccessUsesHostPageTables:
      return properties.pageableMemoryAccessUsesHostPageTables;
    case cudaDevAttrDirectManagedMemAccessFromHost:
      return properties.directManagedMemAccessFromHost;
    case cudaDevAttrHostNativeAtomicSupported:
      return properties.hostNativeAtomicSupported;
    case cudaDevAttrHostNumaId:
      return -1;
    case cudaDevAttrClusterLaunch:
      return properties.clusterLaunch;
    case cudaDevAttrAsyncEngineCount:
      return properties.asyncEngineCount;
    case cudaDevAttrComputeMode:
    case cudaDevAttrIntegrated:
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrTccDriver:
    case cudaDevAttrIsMultiGpuBoard:
    case cudaDevAttrGPUDirectRDMASupported:
      return 0;
    default:
      return std::nullopt;
  }
}

std::optional<int> attribute_of(const cudaDeviceProp& properties, cudaDeviceAttr attribute) {
  const Kind& kind = runtime().fleet.kind;
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      return properties.major;
    case cudaDevAttrComputeCapabilityMinor:
      return properties.minor;
    case cudaDevAttrClockRate:
      return kind.clock_mhz * 1000;
    case cudaDevAttrMemoryClockRate:
      return kind.memory_clock_mhz * 1000;
    case cudaDevAttrGlobalMemoryBusWidth:
      return kind.bus_bits;
    case cudaDevAttrL2CacheSize:
      return properties.l2CacheSize;
    case cudaDevAttrMaxPersistingL2CacheSize:
      return properties.persistingL2CacheMaxSize;
    case cudaDevAttrPciBusId:
      return properties.pciBusID;
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId:
      return 0;
    default:
      break;
  }
  const auto shape = shape_attribute(properties, attribute);
  return shape ? shape : ability_attribute(properties, attribute);
}

constexpr int version = CUDART_VERSION;

}  // namespace
}  // namespace rackproof::fake

using namespace rackproof::fake;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  if (count != nullptr && runtime().fleet.driver) *count = 0;  // left alone without a driver
  return api("cudaGetDeviceCount", Reports::nothing, [&] {
    if (count == nullptr) return cudaErrorInvalidValue;
    *count = static_cast<int>(runtime().devices.size());
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return api("cudaGetDevice", Reports::nothing, [&] {
    if (device == nullptr) return cudaErrorInvalidValue;
    *device = current_device();
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return api("cudaSetDevice", Reports::nothing, [&] {
    const cudaError_t code = check_device(device);
    if (code != cudaSuccess) return code;
    current_device() = device;
    const std::lock_guard lock(runtime().mutex);
    return runtime().devices[static_cast<std::size_t>(device)].dead;
  });
}

cudaError_t cudaInitDevice(int device, unsigned /*flags*/, unsigned /*more*/) {
  return api("cudaInitDevice", Reports::nothing, [&] { return check_device(device); });
}
cudaError_t cudaSetDeviceFlags(unsigned /*flags*/) {
  return api("cudaSetDeviceFlags", Reports::errors, [] { return cudaSuccess; });
}
cudaError_t cudaGetDeviceFlags(unsigned* flags) {
  return api("cudaGetDeviceFlags", Reports::errors, [&] {
    *flags = cudaDeviceScheduleAuto;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return api("cudaGetDeviceProperties", Reports::nothing, [&] {
    if (properties == nullptr) return cudaErrorInvalidValue;
    const cudaError_t code = check_device(device);
    if (code == cudaSuccess) *properties = properties_of(runtime().devices[static_cast<std::size_t>(device)]);
    return code;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return api("cudaDeviceGetAttribute", Reports::nothing, [&] {
    if (value == nullptr) return cudaErrorInvalidValue;
    const cudaError_t code = check_device(device);
    if (code != cudaSuccess) return code;
    const auto found = attribute_of(properties_of(runtime().devices[static_cast<std::size_t>(device)]), attribute);
    if (!found) fail("cudaDeviceGetAttribute: this fake does not know attribute " + std::to_string(attribute));
    *value = *found;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int bytes, int device) {
  return api("cudaDeviceGetPCIBusId", Reports::nothing, [&] {
    if (text == nullptr || bytes < 13) return cudaErrorInvalidValue;
    const cudaError_t code = check_device(device);
    if (code != cudaSuccess) return code;
    const std::string id = runtime().devices[static_cast<std::size_t>(device)].identity.pci_text();
    std::memcpy(text, id.c_str(), id.size() + 1);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* text) {
  return api("cudaDeviceGetByPCIBusId", Reports::nothing, [&] {
    if (device == nullptr || text == nullptr) return cudaErrorInvalidValue;
    for (std::size_t i = 0; i < runtime().devices.size(); ++i) {
      if (runtime().devices[i].identity.pci_text() != text) continue;
      *device = static_cast<int>(i);
      return cudaSuccess;
    }
    return cudaErrorInvalidDevice;
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return api("cudaDeviceCanAccessPeer", Reports::nothing, [&] {
    if (can == nullptr) return cudaErrorInvalidValue;
    if (check_device(device) != cudaSuccess || check_device(peer) != cudaSuccess) return cudaErrorInvalidDevice;
    *can = device != peer ? 1 : 0;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) {
  return api("cudaDeviceEnablePeerAccess", Reports::errors, [&] {
    if (flags != 0) return cudaErrorInvalidValue;
    if (check_device(peer) != cudaSuccess || peer == current_device()) return cudaErrorInvalidDevice;
    const std::lock_guard lock(runtime().mutex);
    const bool added = runtime().devices[static_cast<std::size_t>(current_device())].peers.insert(peer).second;
    return added ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled;
  });
}

cudaError_t cudaDeviceDisablePeerAccess(int peer) {
  return api("cudaDeviceDisablePeerAccess", Reports::errors, [&] {
    const std::lock_guard lock(runtime().mutex);
    const bool was = runtime().devices[static_cast<std::size_t>(current_device())].peers.erase(peer) == 1;
    return was ? cudaSuccess : cudaErrorPeerAccessNotEnabled;
  });
}

cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr /*attribute*/, int device, int peer) {
  return cudaDeviceCanAccessPeer(value, device, peer);
}

cudaError_t cudaDeviceGetLimit(std::size_t* value, cudaLimit /*limit*/) {
  return api("cudaDeviceGetLimit", Reports::errors, [&] {
    *value = 0;
    return cudaErrorUnsupportedLimit;
  });
}

cudaError_t cudaDeviceSetLimit(cudaLimit /*limit*/, std::size_t /*value*/) {
  return api("cudaDeviceSetLimit", Reports::errors, [] { return cudaSuccess; });
}

cudaError_t cudaDeviceReset() {
  return api("cudaDeviceReset", Reports::releases, [] {
    std::unique_lock lock(runtime().mutex);
    runtime().wait_for_device(lock, current_device());
    for (const auto& [begin, allocation] : runtime().allocations) {
      if (allocation.device == current_device()) {
        fail("cudaDeviceReset while there is " + runtime().describe(reinterpret_cast<const void*>(begin)));
      }
    }
    return cudaSuccess;
  });
}

cudaError_t cudaRuntimeGetVersion(int* runtime_version) {
  if (runtime_version == nullptr) return cudaErrorInvalidValue;
  *runtime_version = version;
  return cudaSuccess;
}

/// 0 where there is no driver.
cudaError_t cudaDriverGetVersion(int* driver_version) {
  if (driver_version == nullptr) return cudaErrorInvalidValue;
  const Fleet& fleet = runtime().fleet;
  *driver_version = !fleet.driver ? 0 : fleet.driver_version > 0 ? fleet.driver_version : version;
  return cudaSuccess;
}

int rackproof_fake_state(int pci_bus) {
  const std::lock_guard lock(runtime().mutex);
  for (const rackproof::fake::DeviceState& device : runtime().devices) {
    if (device.identity.pci_bus == pci_bus) return device.dead;
  }
  return cudaSuccess;
}

cudaError_t cudaProfilerStart() {
  return api("cudaProfilerStart", Reports::errors, [] { return cudaSuccess; });
}
cudaError_t cudaProfilerStop() {
  return api("cudaProfilerStop", Reports::errors, [] { return cudaSuccess; });
}
}

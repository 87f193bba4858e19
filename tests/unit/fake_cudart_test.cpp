// The fake libcudart: what it finds, and that it works as the real one where programs rely on it. Each scenario runs in
// a process of its own, because misuse ends it and the environment is read once.
// links: fake_cudart
// kernels: fake_cudart_kernel.cu
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "tests/fakes/common/fake_cuda.hpp"
#include "tests/fakes/common/faults.hpp"
#include "tests/fakes/common/fleet.hpp"
#include "tests/unit/fake_cudart_kernel.hpp"

namespace rackproof {
namespace {

using testing::ExitedWithCode;
using testing::KilledBySignal;

using Environment = std::map<std::string, std::string>;

/// In the process of a scenario: ends it unless the call gives what it should.
void expect(cudaError_t code, cudaError_t wanted, const char* call, int line) {
  if (code == wanted) {
    if (code != cudaSuccess) (void)cudaGetLastError();
    return;
  }
  (void)fprintf(stderr, "line %d: %s gave %s\n", line, call, cudaGetErrorName(code));
  _exit(9);
}
#define OK(call) expect(call, cudaSuccess, #call, __LINE__)
#define GIVES(code, call) expect(call, code, #call, __LINE__)

void require_that(bool holds, const char* what, int line) {
  if (holds) return;
  (void)fprintf(stderr, "line %d: not so: %s\n", line, what);
  _exit(9);
}
#define REQUIRE(condition) require_that(condition, #condition, __LINE__)

void run(const Environment& environment, const std::function<void()>& scenario) {
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  scenario();
  exit(0);
}

void expect_works(const Environment& environment, const std::function<void()>& scenario) {
  EXPECT_EXIT(run(environment, scenario), ExitedWithCode(0), "^$");
}
void expect_found(const std::string& message, const std::function<void()>& scenario) {
  EXPECT_EXIT(run({}, scenario), KilledBySignal(SIGABRT), "fake cuda: .*" + message);
}

const Environment lazy{{"RACKPROOF_FAKE_STREAMS", "lazy"}};

cudaStream_t make_stream(unsigned flags = cudaStreamNonBlocking) {
  cudaStream_t stream = nullptr;
  OK(cudaStreamCreateWithFlags(&stream, flags));
  return stream;
}

float* make_floats(std::size_t count) {
  void* data = nullptr;
  OK(cudaMalloc(&data, count * sizeof(float)));
  return static_cast<float*>(data);
}

float* make_pinned(std::size_t count) {
  void* data = nullptr;
  OK(cudaMallocHost(&data, count * sizeof(float)));
  return static_cast<float*>(data);
}

void upload(float* device, const std::vector<float>& values) {
  OK(cudaMemcpy(device, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice));
}

std::vector<float> download(const float* device, std::size_t count) {
  std::vector<float> values(count);
  OK(cudaMemcpy(values.data(), device, count * sizeof(float), cudaMemcpyDeviceToHost));
  return values;
}

bool has_protection_keys() {
  std::ifstream info("/proc/cpuinfo");
  const std::string all((std::istreambuf_iterator<char>(info)), std::istreambuf_iterator<char>());
  return all.find(" ospke") != std::string::npos;
}

TEST(FakeCudart, a_kernel_of_nvcc_runs_its_twin_with_the_arguments_of_its_launch) {
  expect_works({}, [] {
    const cudaStream_t stream = make_stream();
    float* const data = make_floats(4);
    upload(data, {1, 2, 3, 4});
    launch_scale(data, 4, 3.0F, 1.0F, stream);
    launch_scale(data, 2, 10.0F, 0.0F, stream);
    OK(cudaGetLastError());
    OK(cudaStreamSynchronize(stream));
    REQUIRE(download(data, 4) == std::vector<float>({40, 70, 10, 13}));
    OK(cudaFree(data));
    OK(cudaStreamDestroy(stream));
  });
}

TEST(FakeCudart, a_kernel_without_a_twin_is_refused) {
  expect_works({}, [] {
    launch_unknown(nullptr, nullptr);
    GIVES(cudaErrorInvalidDeviceFunction, cudaPeekAtLastError());
    OK(cudaGetLastError());
  });
}

TEST(FakeCudart, a_launch_beyond_the_limits_of_the_chip_is_refused) {
  expect_works({}, [] {
    void* arguments[] = {nullptr};
    const auto stub = reinterpret_cast<const void*>(&launch_unknown);
    rackproof_fake_register_kernel(stub, [](void**, dim3, dim3, std::size_t) {});
    GIVES(cudaErrorInvalidConfiguration, cudaLaunchKernel(stub, dim3(1), dim3(1025), arguments, 0, nullptr));
    GIVES(cudaErrorInvalidConfiguration, cudaLaunchKernel(stub, dim3(1, 65536), dim3(32), arguments, 0, nullptr));
    GIVES(cudaErrorInvalidValue, cudaLaunchKernel(stub, dim3(1), dim3(32), arguments, 49153, nullptr));
    GIVES(cudaErrorInvalidValue, cudaFuncSetAttribute(stub, cudaFuncAttributeMaxDynamicSharedMemorySize, 232449));
    OK(cudaFuncSetAttribute(stub, cudaFuncAttributeMaxDynamicSharedMemorySize, 232448));
    OK(cudaLaunchKernel(stub, dim3(1), dim3(1024), arguments, 232448, nullptr));
    OK(cudaDeviceSynchronize());
  });
}

TEST(FakeCudart, gpus_are_of_the_kind_and_number_asked_for) {
  expect_works({{"RACKPROOF_FAKE_GPUS", "4xGB200"}, {"CUDA_VISIBLE_DEVICES", "3,1"}}, [] {
    int count = 0;
    OK(cudaGetDeviceCount(&count));
    REQUIRE(count == 2);
    cudaDeviceProp properties{};
    OK(cudaGetDeviceProperties(&properties, 0));
    REQUIRE(std::string(properties.name) == "NVIDIA GB200 [fake]");
    REQUIRE(properties.major == 10);
    REQUIRE(properties.uuid.bytes[15] == 3);
    std::array<char, 16> bus{};
    OK(cudaDeviceGetPCIBusId(bus.data(), bus.size(), 1));
    REQUIRE(bus.data() == fake::identity_of(1).pci_text());
    GIVES(cudaErrorInvalidDevice, cudaSetDevice(2));
  });
}

TEST(FakeCudart, without_driver_or_gpu_calls_say_so) {
  expect_works({{"RACKPROOF_FAKE_GPUS", "none"}}, [] {
    int count = -1;
    GIVES(cudaErrorInsufficientDriver, cudaGetDeviceCount(&count));
    REQUIRE(count == -1);
    int version = -1;
    OK(cudaDriverGetVersion(&version));
    REQUIRE(version == 0);
  });
  expect_works({{"RACKPROOF_FAKE_GPUS", "0"}}, [] {
    int count = -1;
    GIVES(cudaErrorNoDevice, cudaGetDeviceCount(&count));
    void* data = nullptr;
    GIVES(cudaErrorNoDevice, cudaMalloc(&data, 1));
  });
  expect_works({{"CUDA_VISIBLE_DEVICES", ""}}, [] {
    int count = -1;
    GIVES(cudaErrorNoDevice, cudaGetDeviceCount(&count));
  });
}

TEST(FakeCudart, a_copy_to_pinned_memory_is_not_there_before_somebody_waits) {
  expect_works(lazy, [] {
    const cudaStream_t stream = make_stream();
    float* const data = make_floats(1);
    float* const pinned = make_pinned(1);
    upload(data, {7});
    *pinned = 1;
    OK(cudaMemcpyAsync(pinned, data, sizeof(float), cudaMemcpyDeviceToHost, stream));
    REQUIRE(std::isnan(*pinned));
    OK(cudaStreamSynchronize(stream));
    REQUIRE(*pinned == 7);
    OK(cudaFreeHost(pinned));
    OK(cudaFree(data));
    OK(cudaStreamDestroy(stream));
  });
}

TEST(FakeCudart, a_pinned_source_that_is_changed_too_early_spoils_the_copy_and_other_memory_does_not) {
  expect_works(lazy, [] {
    const cudaStream_t stream = make_stream();
    float* const data = make_floats(2);
    float* const pinned = make_pinned(1);
    float pageable = 5;
    *pinned = 5;
    OK(cudaMemcpyAsync(data, pinned, sizeof(float), cudaMemcpyHostToDevice, stream));
    OK(cudaMemcpyAsync(data + 1, &pageable, sizeof(float), cudaMemcpyHostToDevice, stream));
    *pinned = 6;
    pageable = 6;
    OK(cudaStreamSynchronize(stream));
    REQUIRE(download(data, 2) == std::vector<float>({6, 5}));
    OK(cudaFreeHost(pinned));
    OK(cudaFree(data));
    OK(cudaStreamDestroy(stream));
  });
}

TEST(FakeCudart, the_stream_0_waits_for_blocking_streams_alone) {
  expect_works(lazy, [] {
    const cudaStream_t blocking = make_stream(cudaStreamDefault);
    const cudaStream_t apart = make_stream(cudaStreamNonBlocking);
    float* const data = make_floats(2);
    upload(data, {1, 1});
    launch_scale(data, 1, 2.0F, 0.0F, blocking);
    launch_scale(data + 1, 1, 2.0F, 0.0F, apart);
    REQUIRE(download(data, 2) == std::vector<float>({2, 1}));
    OK(cudaStreamSynchronize(apart));
    REQUIRE(download(data, 2) == std::vector<float>({2, 2}));
    OK(cudaFree(data));
    OK(cudaStreamDestroy(blocking));
    OK(cudaStreamDestroy(apart));
  });
}

TEST(FakeCudart, a_stream_waits_for_an_event_of_another) {
  expect_works(lazy, [] {
    const cudaStream_t first = make_stream();
    const cudaStream_t second = make_stream();
    cudaEvent_t event = nullptr;
    OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    float* const data = make_floats(1);
    upload(data, {1});
    launch_scale(data, 1, 1.0F, 1.0F, first);
    OK(cudaEventRecord(event, first));
    OK(cudaStreamWaitEvent(second, event, 0));
    launch_scale(data, 1, 10.0F, 0.0F, second);
    OK(cudaStreamSynchronize(second));
    REQUIRE(download(data, 1) == std::vector<float>({20}));
    OK(cudaEventDestroy(event));
    OK(cudaFree(data));
    OK(cudaStreamDestroy(first));
    OK(cudaStreamDestroy(second));
  });
}

TEST(FakeCudart, events_tell_the_time_between_them_once_they_are_done) {
  expect_works(lazy, [] {
    const cudaStream_t stream = make_stream();
    cudaEvent_t from = nullptr;
    cudaEvent_t to = nullptr;
    OK(cudaEventCreate(&from));
    OK(cudaEventCreate(&to));
    float milliseconds = -1;
    GIVES(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&milliseconds, from, to));
    OK(cudaEventRecord(from, stream));
    OK(cudaLaunchHostFunc(
        stream, [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(3)); }, nullptr));
    OK(cudaEventRecord(to, stream));
    GIVES(cudaErrorNotReady, cudaEventElapsedTime(&milliseconds, from, to));
    OK(cudaEventSynchronize(to));
    OK(cudaEventElapsedTime(&milliseconds, from, to));
    REQUIRE(milliseconds >= 3);
    OK(cudaEventDestroy(from));
    OK(cudaEventDestroy(to));
    OK(cudaStreamDestroy(stream));
  });
}

TEST(FakeCudart, memory_is_limited_and_new_memory_is_full_of_nan) {
  expect_works({{"RACKPROOF_FAKE_MEMORY", "1MiB"}}, [] {
    void* first = nullptr;
    void* second = nullptr;
    OK(cudaMalloc(&first, 768U << 10U));
    GIVES(cudaErrorMemoryAllocation, cudaMalloc(&second, 512U << 10U));
    REQUIRE(second == nullptr);
    std::size_t available = 0;
    std::size_t total = 0;
    OK(cudaMemGetInfo(&available, &total));
    REQUIRE(total == 1U << 20U && available == 256U << 10U);
    OK(cudaFree(first));
    OK(cudaMalloc(&second, 512U << 10U));
    REQUIRE(std::isnan(download(static_cast<float*>(second), 1)[0]));
    OK(cudaFree(second));
  });
}

TEST(FakeCudart, a_graph_does_again_what_was_captured) {
  expect_works({}, [] {
    const cudaStream_t stream = make_stream();
    float* const data = make_floats(1);
    upload(data, {1});
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t launchable = nullptr;
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    launch_scale(data, 1, 2.0F, 1.0F, stream);
    OK(cudaGetLastError());
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphInstantiate(&launchable, graph, 0));
    OK(cudaGraphDestroy(graph));
    OK(cudaGraphUpload(launchable, stream));
    OK(cudaStreamSynchronize(stream));
    REQUIRE(download(data, 1) == std::vector<float>({1}));
    for (int i = 0; i < 3; ++i) OK(cudaGraphLaunch(launchable, stream));
    OK(cudaStreamSynchronize(stream));
    REQUIRE(download(data, 1) == std::vector<float>({15}));
    OK(cudaGraphExecDestroy(launchable));
    OK(cudaFree(data));
    OK(cudaStreamDestroy(stream));
  });
}

TEST(FakeCudart, what_breaks_a_capture_breaks_it) {
  expect_works({}, [] {
    const cudaStream_t stream = make_stream();
    const cudaStream_t other = make_stream();
    cudaEvent_t event = nullptr;
    OK(cudaEventCreate(&event));
    cudaGraph_t graph = nullptr;
    void* data = nullptr;
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    GIVES(cudaErrorStreamCaptureUnsupported, cudaStreamSynchronize(stream));
    GIVES(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    GIVES(cudaErrorStreamCaptureUnsupported, cudaMalloc(&data, 4));
    GIVES(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    OK(cudaEventRecord(event, stream));
    OK(cudaStreamWaitEvent(other, event, 0));
    GIVES(cudaErrorStreamCaptureUnjoined, cudaStreamEndCapture(stream, &graph));
    REQUIRE(graph == nullptr);
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(stream));
    OK(cudaStreamDestroy(other));
  });
}

TEST(FakeCudart, finds_memory_that_was_freed) {
  expect_found("cudaMemcpy: the source is .* 4 bytes of freed device memory of GPU 0", [] {
    float* const data = make_floats(1);
    OK(cudaFree(data));
    (void)download(data, 1);
  });
  expect_found("cudaFree of .* of freed device memory", [] {
    float* const data = make_floats(1);
    OK(cudaFree(data));
    (void)cudaFree(data);
  });
  expect_found("the kernel .*scale.* touches what is no memory of a GPU: .* of freed device memory", [] {
    float* const data = make_floats(1);
    OK(cudaFree(data));
    launch_scale(data, 1, 1.0F, 0.0F, nullptr);
    (void)cudaDeviceSynchronize();
  });
}

TEST(FakeCudart, finds_memory_freed_between_the_capture_and_the_launch_of_a_graph) {
  expect_found("cudaMemsetAsync in a stream: the destination is .* freed", [] {
    const cudaStream_t stream = make_stream();
    float* const data = make_floats(1);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t launchable = nullptr;
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    OK(cudaMemsetAsync(data, 0, 4, stream));
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphInstantiate(&launchable, graph, 0));
    OK(cudaFree(data));
    OK(cudaGraphLaunch(launchable, stream));
    (void)cudaStreamSynchronize(stream);
  });
}

TEST(FakeCudart, finds_memory_of_the_host_where_a_gpu_s_should_be) {
  expect_found("cudaMemcpy: the source should be memory of a GPU but is .* host memory", [] {
    float here = 0;
    float there = 0;
    (void)cudaMemcpy(&here, &there, sizeof here, cudaMemcpyDeviceToHost);
  });
  expect_found("cudaMemsetAsync: the destination is .* host memory", [] {
    float here = 0;
    (void)cudaMemsetAsync(&here, 0, sizeof here, nullptr);
  });
}

TEST(FakeCudart, finds_what_goes_beyond_an_allocation) {
  expect_found("cudaMemcpy of 8 bytes: the source is .*byte 4 of 8 bytes of device memory", [] {
    float* const data = make_floats(2);
    (void)download(data + 1, 2);
  });
  expect_found("the kernel .*scale.* touches .* behind 256 bytes of device memory", [] {
    float* const data = make_floats(64);
    launch_scale(data, 65, 1.0F, 0.0F, nullptr);
    (void)cudaDeviceSynchronize();
  });
  // Less than what allocations are aligned to: seen when it is freed.
  expect_found("cudaFree: something wrote to .* 0 bytes behind 4 bytes", [] {
    float* const data = make_floats(1);
    launch_scale(data, 2, 1.0F, 1.0F, nullptr);
    (void)cudaFree(data);
  });
}

TEST(FakeCudart, finds_a_host_that_reads_memory_of_a_gpu) {
  if (!has_protection_keys()) GTEST_SKIP() << "this processor has no protection keys";
  expect_found("the host touches memory of a GPU: .*, 4 bytes of device memory", [] {
    float* const data = make_floats(1);
    exit(*data > 0 ? 7 : 8);
  });
}

TEST(FakeCudart, finds_what_was_not_released) {
  expect_found("16 bytes of device memory of GPU 0 was not released", [] { (void)make_floats(4); });
  expect_found("pinned host memory was not released", [] { (void)make_pinned(4); });
  expect_found("1 streams were not destroyed", [] { (void)make_stream(); });
  expect_found("1 events were not destroyed", [] {
    cudaEvent_t event = nullptr;
    OK(cudaEventCreate(&event));
  });
}

TEST(FakeCudart, finds_handles_that_were_destroyed) {
  expect_found("cudaStreamSynchronize: the stream .* was destroyed or never made", [] {
    const cudaStream_t stream = make_stream();
    OK(cudaStreamDestroy(stream));
    (void)cudaStreamSynchronize(stream);
  });
}

TEST(FakeCudart, finds_an_error_that_nobody_looked_at) {
  expect_found("cudaSetDevice failed with cudaErrorInvalidDevice, which nobody asked .* before calling cudaMalloc", [] {
    (void)cudaSetDevice(99);
    void* data = nullptr;
    (void)cudaMalloc(&data, 4);
  });
  expect_found("a kernel's launch failed with cudaErrorInvalidDeviceFunction", [] {
    launch_unknown(nullptr, nullptr);
    (void)cudaDeviceSynchronize();
  });
}

TEST(FakeCudart, not_ready_is_an_answer_that_stays_the_last_error) {
  expect_works({}, [] {
    const cudaStream_t stream = make_stream();
    std::atomic<bool> may_end{false};
    const auto wait = [](void* flag) {
      while (!static_cast<std::atomic<bool>*>(flag)->load()) std::this_thread::yield();
    };
    OK(cudaLaunchHostFunc(stream, wait, &may_end));
    REQUIRE(cudaStreamQuery(stream) == cudaErrorNotReady);
    may_end = true;
    OK(cudaStreamSynchronize(stream));
    REQUIRE(cudaGetLastError() == cudaErrorNotReady);
    OK(cudaStreamDestroy(stream));
  });
}

TEST(FakeCudart, a_memory_error_stays_from_its_call_on) {
  expect_works({{"RACKPROOF_FAKE_FAULTS", "ecc@call=3@rank=1"}, {"OMPI_COMM_WORLD_RANK", "1"}}, [] {
    float* const data = make_floats(1);
    upload(data, {1});
    GIVES(cudaErrorECCUncorrectable, cudaMemset(data, 0, 4));
    GIVES(cudaErrorECCUncorrectable, cudaDeviceSynchronize());
    REQUIRE(cudaFree(data) == cudaErrorECCUncorrectable);
  });
  expect_works({{"RACKPROOF_FAKE_FAULTS", "ecc@call=3@rank=1"}, {"OMPI_COMM_WORLD_RANK", "0"}}, [] {
    for (int i = 0; i < 5; ++i) OK(cudaDeviceSynchronize());
  });
}

TEST(FakeCudart, a_gpu_that_fell_off_the_bus_gives_unknown_errors_even_to_those_who_wait) {
  expect_works({{"RACKPROOF_FAKE_FAULTS", "fallen_off_the_bus@call=3"}}, [] {
    const cudaStream_t stream = make_stream();
    OK(cudaLaunchHostFunc(
        stream, [](void*) {}, nullptr));
    GIVES(cudaErrorUnknown, cudaStreamSynchronize(stream));
    GIVES(cudaErrorUnknown, cudaStreamQuery(stream));
  });
}

TEST(FakeCudart, runs_out_of_memory_when_asked_to) {
  expect_works({{"RACKPROOF_FAKE_FAULTS", "out_of_memory"}, {"RACKPROOF_FAKE_MEMORY", "8MiB"}}, [] {
    float* const data = make_floats(1U << 18U);
    void* more = nullptr;
    GIVES(cudaErrorMemoryAllocation, cudaMalloc(&more, 4));
    OK(cudaFree(data));
    OK(cudaMalloc(&more, 4));
    OK(cudaFree(more));
  });
  expect_works({{"RACKPROOF_FAKE_FAULTS", "out_of_memory@malloc=2"}}, [] {
    float* const data = make_floats(1);
    void* more = nullptr;
    GIVES(cudaErrorMemoryAllocation, cudaMalloc(&more, 4));
    OK(cudaFree(data));
  });
}

TEST(FakeCudart, a_slow_rank_takes_longer_by_its_factor) {
  expect_works({{"RACKPROOF_FAKE_FAULTS", "slow_rank=0:0.25"}}, [] {
    const auto begin = std::chrono::steady_clock::now();
    rackproof_fake_stretch(0.005);
    REQUIRE(std::chrono::steady_clock::now() - begin >= std::chrono::microseconds(14'900));
  });
}

TEST(FakeCudart, other_libraries_work_in_stream_order_on_memory_of_the_gpu) {
  expect_works({}, [] {
    const cudaStream_t stream = make_stream();
    float* const data = make_floats(1);
    upload(data, {3});
    REQUIRE(rackproof_fake_owns(data, 4) == 1);
    REQUIRE(rackproof_fake_owns(data, 5) == 0);
    REQUIRE(rackproof_fake_owns(&data, 4) == 0);
    launch_scale(data, 1, 2.0F, 0.0F, stream);
    REQUIRE(rackproof_fake_enqueue(
                stream, [](void* at) { *static_cast<float*>(at) += 1; }, data) == 0);
    launch_scale(data, 1, 2.0F, 0.0F, stream);
    OK(cudaStreamSynchronize(stream));
    REQUIRE(download(data, 1) == std::vector<float>({14}));
    OK(cudaFree(data));
    OK(cudaStreamDestroy(stream));
  });
}

TEST(FakeFaults, are_read_by_rank) {
  const auto faults = fake::parse_faults("slow_rank=3:0.8,ecc@call=40@rank=1,hang@all_reduce=7,throttle=2:power");
  ASSERT_EQ(faults.size(), 4U);
  EXPECT_EQ(faults[0].rank, 3);
  EXPECT_EQ(faults[0].value, "0.8");
  EXPECT_EQ(faults[1].where, "call");
  EXPECT_EQ(faults[1].at, 40);
  EXPECT_EQ(faults[1].rank, 1);
  EXPECT_EQ(faults[2].where, "all_reduce");
  EXPECT_EQ(faults[3].value, "power");
  EXPECT_EQ(faults[3].rank, 2);
}

TEST(FakeFaults, that_nobody_knows_are_refused) {
  for (const char* bad : {"ecc@call=x", "slow_rank=3", "no_such_fault", "throttle=a:power"}) {
    EXPECT_THROW((void)fake::parse_faults(bad), std::runtime_error) << bad;
  }
  for (const char* bad : {"8xH101", "0xH100", "99xH100", "many"}) {
    EXPECT_THROW((void)fake::parse_fleet(bad, ""), std::runtime_error) << bad;
  }
  EXPECT_THROW((void)fake::parse_fleet("", "12 bananas"), std::runtime_error);
}

}  // namespace
}  // namespace rackproof

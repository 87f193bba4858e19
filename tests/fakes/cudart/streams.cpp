// Streams, each with a thread of its own that does its steps in order; events; stream capture and graphs.
#include <algorithm>
#include <cmath>
#include <random>

#include "tests/fakes/cudart/runtime.hpp"

namespace rackproof::fake {

void stretch(std::chrono::steady_clock::time_point since) {
  const double slowness = runtime().slowness;
  if (slowness <= 1.0) return;
  const auto now = std::chrono::steady_clock::now();
  const auto until = now + std::chrono::duration_cast<std::chrono::nanoseconds>((now - since) * (slowness - 1.0));
  if (until - now > std::chrono::microseconds(200)) {
    std::this_thread::sleep_until(until - std::chrono::microseconds(100));
  }
  while (std::chrono::steady_clock::now() < until) {
  }
}

namespace {

/// What the step that this thread works on takes by the GPU's own time, s.
double& taken_by_step() {
  thread_local double seconds = 0.0;
  return seconds;
}
/// The stream that this thread works for.
StreamState*& stream_at_work() {
  thread_local StreamState* stream = nullptr;
  return stream;
}

constexpr double usual_step = 2e-6;  // s

/// Of one step, as this GPU takes it.
std::chrono::nanoseconds own_time_of(Runtime& all, double seconds) {
  constexpr double between_steps = 0.005;
  const double noise = 1.0 + between_steps * std::abs(std::normal_distribution<double>()(all.own_noise));
  return std::chrono::nanoseconds(std::llround(1e9 * seconds * all.slowness * noise / all.own_speed));
}

}  // namespace

std::shared_ptr<StreamState> Runtime::open_stream(int device, unsigned flags, int priority, bool legacy) {
  auto stream = std::make_shared<StreamState>();
  stream->device = device;
  stream->flags = flags;
  stream->priority = priority;
  stream->legacy = legacy;
  stream->id = ++last_id;
  streams.push_back(stream);
  return stream;
}

namespace {

/// Waits on a stream's thread until the other stream came that far.
Work until(std::shared_ptr<StreamState> other, std::uint64_t ticket) {
  return [other = std::move(other), ticket] {
    Runtime& all = runtime();
    std::unique_lock lock(all.mutex);
    all.wait_for(lock, other, ticket);
  };
}

/// The stream 0 waits for all blocking streams of its device and they for it.
bool wait_for_each_other(const StreamState& one, const StreamState& other) {
  if (&one == &other || one.device != other.device || one.legacy == other.legacy) return false;
  return ((one.legacy ? other : one).flags & cudaStreamNonBlocking) == 0;
}

void append(Runtime& all, const std::shared_ptr<StreamState>& stream, Work work) {
  stream->queue.push_back(std::move(work));
  ++stream->enqueued;
  all.changed.notify_all();
}

/// Seeded, so that a run can be repeated; the order of threads is the host's.
void delay(unsigned seed, unsigned long long id, std::uint64_t ticket) {
  if (seed == 0) return;
  std::minstd_rand random(static_cast<unsigned>(seed + 7919 * id + ticket));
  random.discard(3);
  std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
}

}  // namespace

void Runtime::run(const std::shared_ptr<StreamState>& stream) {
  open_memory_for_good();
  current_device() = stream->device;
  stream_at_work() = stream.get();
  std::unique_lock lock(mutex);
  const auto may_work = [&] { return !stream->queue.empty() && (!lazy || stream->wanted > stream->completed); };
  for (;;) {
    changed.wait(lock, [&] { return may_work() || (stream->closed && stream->queue.empty()); });
    if (stream->queue.empty()) break;
    Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    const bool alive = devices[static_cast<std::size_t>(stream->device)].dead == cudaSuccess;
    lock.unlock();
    delay(delay_seed, stream->id, stream->completed);
    taken_by_step() = usual_step;
    if (alive) work();
    work = nullptr;
    lock.lock();
    if (own_times && taken_by_step() > 0.0) stream->own_time += own_time_of(*this, taken_by_step());
    ++stream->completed;
    changed.notify_all();
  }
  streams.erase(std::find(streams.begin(), streams.end(), stream));
  changed.notify_all();
}

void Runtime::enqueue(const std::shared_ptr<StreamState>& stream, Work work) {
  if (stream->capture != nullptr) {
    stream->capture->steps->work.push_back(std::move(work));
    if (stream != stream->capture->origin) stream->capture->unjoined.insert(stream.get());
    return;
  }
  if (!stream->running) {
    stream->running = true;
    std::thread([this, stream] { run(stream); }).detach();
  }
  for (const auto& other : streams) {
    if (wait_for_each_other(*stream, *other) && other->completed < other->enqueued) {
      append(*this, stream, until(other, other->enqueued));
    }
  }
  append(*this, stream, std::move(work));
}

void Runtime::wait_for(std::unique_lock<std::mutex>& lock, const std::shared_ptr<StreamState>& stream,
                       std::uint64_t ticket) {
  if (stream->wanted < ticket) {
    stream->wanted = ticket;
    changed.notify_all();
  }
  changed.wait(lock, [&] {
    return stream->completed >= ticket || devices[static_cast<std::size_t>(stream->device)].dead != cudaSuccess;
  });
}

void Runtime::wait_for_device(std::unique_lock<std::mutex>& lock, int device) {
  const auto all = streams;
  for (const auto& stream : all) {
    if (stream->device == device) wait_for(lock, stream, stream->enqueued);
  }
}

bool Runtime::idle(int device) const {
  return std::all_of(streams.begin(), streams.end(), [&](const auto& stream) {
    return stream->device != device || stream->completed == stream->enqueued;
  });
}

std::shared_ptr<StreamState> stream_of(const char* call, cudaStream_t stream) {
  Runtime& all = runtime();
  if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread) {
    DeviceState& device = all.devices[static_cast<std::size_t>(current_device())];
    if (device.legacy == nullptr) device.legacy = all.open_stream(current_device(), cudaStreamDefault, 0, true);
    return device.legacy;
  }
  if (all.stream_handles.count(stream) == 0) {
    fail(std::string(call) + ": the stream " + text(stream) + " was destroyed or never made");
  }
  return stream->state;
}

namespace {

/// A call that waits for a stream or an event, or that works on the stream 0, while something is captured.
cudaError_t break_capture(const std::shared_ptr<StreamState>& stream, cudaError_t code) {
  if (stream->capture != nullptr) stream->capture->invalid = true;
  return code;
}

cudaError_t dead(int device) { return runtime().devices[static_cast<std::size_t>(device)].dead; }

cudaEvent_t event_of(const char* call, cudaEvent_t event) {
  if (runtime().event_handles.count(event) == 0) {
    fail(std::string(call) + ": the event " + text(event) + " was destroyed or never made");
  }
  return event;
}

cudaError_t create_stream(cudaStream_t* stream, unsigned flags, int priority) {
  if (stream == nullptr || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  *stream = new CUstream_st{all.open_stream(current_device(), flags, priority, false)};
  all.stream_handles.insert(*stream);
  return cudaSuccess;
}

cudaError_t destroy_stream(cudaStream_t handle) {
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  const auto stream = stream_of("cudaStreamDestroy", handle);
  if (stream->legacy) return cudaErrorInvalidResourceHandle;
  // Its steps are still done.
  stream->closed = true;
  stream->wanted = stream->enqueued;
  if (!stream->running) all.streams.erase(std::find(all.streams.begin(), all.streams.end(), stream));
  all.stream_handles.erase(handle);
  delete handle;
  all.changed.notify_all();
  return cudaSuccess;
}

cudaError_t synchronize_stream(cudaStream_t handle) {
  Runtime& all = runtime();
  std::unique_lock lock(all.mutex);
  const auto stream = stream_of("cudaStreamSynchronize", handle);
  if (stream->capture != nullptr) return break_capture(stream, cudaErrorStreamCaptureUnsupported);
  all.wait_for(lock, stream, stream->enqueued);
  return dead(stream->device);
}

cudaError_t query_stream(cudaStream_t handle) {
  Runtime& all = runtime();
  std::unique_lock lock(all.mutex);
  const auto stream = stream_of("cudaStreamQuery", handle);
  if (stream->capture != nullptr) return break_capture(stream, cudaErrorStreamCaptureUnsupported);
  if (stream->wanted < stream->enqueued) {
    stream->wanted = stream->enqueued;
    all.changed.notify_all();
  }
  // Those who ask again and again leave the processor to the stream's thread.
  all.changed.wait_for(lock, std::chrono::microseconds(50), [&] { return stream->completed >= stream->enqueued; });
  if (dead(stream->device) != cudaSuccess) return dead(stream->device);
  return stream->completed >= stream->enqueued ? cudaSuccess : cudaErrorNotReady;
}

/// The step that ends a recording.
Work stamp(std::shared_ptr<Record> record) {
  return [record = std::move(record)] {
    Runtime& all = runtime();
    const std::lock_guard lock(all.mutex);
    const StreamState* const stream = stream_at_work();
    record->at = all.own_times && stream != nullptr ? std::chrono::steady_clock::time_point(stream->own_time)
                                                    : std::chrono::steady_clock::now();
    taken_by_step() = 0.0;
    record->done = true;
  };
}

cudaError_t record_event(cudaEvent_t handle, cudaStream_t stream_handle, unsigned flags) {
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  const cudaEvent_t event = event_of("cudaEventRecord", handle);
  const auto stream = stream_of("cudaEventRecord", stream_handle);
  if (stream->device != event->device) return cudaErrorInvalidResourceHandle;
  if (stream->capture != nullptr && (flags & cudaEventRecordExternal) == 0) {
    // A dependency, not a step.
    event->capture = stream->capture;
    event->captured_in = stream.get();
    event->record = nullptr;
    return cudaSuccess;
  }
  event->capture = nullptr;
  event->record = std::make_shared<Record>();
  if (stream->capture != nullptr) {
    all.enqueue(stream, stamp(event->record));
    return cudaSuccess;
  }
  all.enqueue(stream, stamp(event->record));
  event->record->stream = stream;
  event->record->ticket = stream->enqueued;
  return cudaSuccess;
}

cudaError_t wait_for_captured(const std::shared_ptr<StreamState>& stream, cudaEvent_t event) {
  if (event->capture->steps == nullptr) return cudaErrorCapturedEvent;
  if (stream->capture != nullptr && stream->capture != event->capture) return cudaErrorStreamCaptureIsolation;
  if (stream->capture == nullptr) {
    stream->capture = event->capture;
    stream->capture->joined.push_back(stream);
  } else {
    stream->capture->unjoined.erase(event->captured_in);
  }
  if (stream != stream->capture->origin) stream->capture->unjoined.insert(stream.get());
  return cudaSuccess;
}

cudaError_t wait_for_event(cudaStream_t stream_handle, cudaEvent_t handle) {
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  const auto stream = stream_of("cudaStreamWaitEvent", stream_handle);
  const cudaEvent_t event = event_of("cudaStreamWaitEvent", handle);
  if (event->capture != nullptr) return wait_for_captured(stream, event);
  if (event->record == nullptr) return cudaSuccess;
  if (stream->capture != nullptr) return break_capture(stream, cudaErrorStreamCaptureIsolation);
  if (event->record->stream != nullptr) all.enqueue(stream, until(event->record->stream, event->record->ticket));
  return cudaSuccess;
}

bool done(const Record& record) { return record.done; }

cudaError_t query_event(cudaEvent_t handle) {
  Runtime& all = runtime();
  std::unique_lock lock(all.mutex);
  const cudaEvent_t event = event_of("cudaEventQuery", handle);
  if (event->capture != nullptr) return cudaErrorCapturedEvent;
  const auto record = event->record;
  if (record == nullptr) return cudaSuccess;
  if (record->stream != nullptr && record->stream->wanted < record->ticket) record->stream->wanted = record->ticket;
  all.changed.notify_all();
  all.changed.wait_for(lock, std::chrono::microseconds(50), [&] { return done(*record); });
  if (dead(event->device) != cudaSuccess) return dead(event->device);
  return done(*record) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t synchronize_event(cudaEvent_t handle) {
  Runtime& all = runtime();
  std::unique_lock lock(all.mutex);
  const cudaEvent_t event = event_of("cudaEventSynchronize", handle);
  if (event->capture != nullptr) return cudaErrorCapturedEvent;
  const auto record = event->record;
  if (record == nullptr) return cudaSuccess;
  const int device = event->device;
  if (record->stream != nullptr) all.wait_for(lock, record->stream, record->ticket);
  all.changed.wait(lock, [&] { return done(*record) || dead(device) != cudaSuccess; });
  return dead(device);
}

cudaError_t elapsed(float* milliseconds, cudaEvent_t from_handle, cudaEvent_t to_handle) {
  if (milliseconds == nullptr) return cudaErrorInvalidValue;
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  const cudaEvent_t from = event_of("cudaEventElapsedTime", from_handle);
  const cudaEvent_t to = event_of("cudaEventElapsedTime", to_handle);
  if (((from->flags | to->flags) & cudaEventDisableTiming) != 0) return cudaErrorInvalidResourceHandle;
  if (from->record == nullptr || to->record == nullptr) return cudaErrorInvalidResourceHandle;
  if (!from->record->done || !to->record->done) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(to->record->at - from->record->at).count();
  return cudaSuccess;
}

cudaError_t begin_capture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  const auto stream = stream_of("cudaStreamBeginCapture", handle);
  if (stream->legacy) return cudaErrorStreamCaptureUnsupported;
  if (stream->capture != nullptr) return cudaErrorIllegalState;
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture->thread = std::this_thread::get_id();
  stream->capture->id = ++all.last_id;
  all.captures.insert(stream->capture);
  return cudaSuccess;
}

cudaError_t verdict_of(const Capture& capture) {
  if (capture.invalid) return cudaErrorStreamCaptureInvalidated;
  if (capture.mode != cudaStreamCaptureModeRelaxed && capture.thread != std::this_thread::get_id()) {
    return cudaErrorStreamCaptureWrongThread;
  }
  return capture.unjoined.empty() ? cudaSuccess : cudaErrorStreamCaptureUnjoined;
}

cudaError_t end_capture(cudaStream_t handle, cudaGraph_t* graph) {
  if (graph == nullptr) return cudaErrorInvalidValue;
  *graph = nullptr;
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  const auto stream = stream_of("cudaStreamEndCapture", handle);
  const auto capture = stream->capture;
  if (capture == nullptr) return cudaErrorIllegalState;
  if (capture->origin != stream) return cudaErrorStreamCaptureUnmatched;
  const cudaError_t verdict = verdict_of(*capture);
  stream->capture = nullptr;
  for (const auto& other : capture->joined) other->capture = nullptr;
  capture->joined.clear();
  capture->origin = nullptr;
  all.captures.erase(capture);
  const auto steps = std::move(capture->steps);
  if (verdict != cudaSuccess) return verdict;
  *graph = new CUgraph_st{steps};
  all.graph_handles.insert(*graph);
  return cudaSuccess;
}

cudaGraph_t graph_of(const char* call, cudaGraph_t graph) {
  if (runtime().graph_handles.count(graph) == 0) {
    fail(std::string(call) + ": the graph " + text(graph) + " was destroyed or never made");
  }
  return graph;
}

cudaGraphExec_t graph_exec_of(const char* call, cudaGraphExec_t graph) {
  if (runtime().graph_exec_handles.count(graph) == 0) {
    fail(std::string(call) + ": the launchable graph " + text(graph) + " was destroyed or never made");
  }
  return graph;
}

cudaError_t instantiate(cudaGraphExec_t* made, cudaGraph_t graph) {
  if (made == nullptr) return cudaErrorInvalidValue;
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  *made = new CUgraphExec_st{graph_of("cudaGraphInstantiate", graph)->steps, current_device()};
  all.graph_exec_handles.insert(*made);
  return cudaSuccess;
}

cudaError_t launch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  const cudaGraphExec_t graph = graph_exec_of("cudaGraphLaunch", handle);
  const auto stream = stream_of("cudaGraphLaunch", stream_handle);
  for (const Work& work : graph->steps->work) {
    // Each keeps the graph's steps alive: it may be destroyed before they are done.
    all.enqueue(stream, [steps = graph->steps, &work] { work(); });
  }
  return cudaSuccess;
}

template <typename Handle>
cudaError_t destroy(std::set<const void*>& live, Handle handle, const char* call) {
  const std::lock_guard lock(runtime().mutex);
  if (live.erase(handle) == 0) fail(std::string(call) + ": " + text(handle) + " was destroyed or never made");
  delete handle;
  return cudaSuccess;
}

}  // namespace
}  // namespace rackproof::fake

using namespace rackproof::fake;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return api("cudaStreamCreate", Reports::errors, [&] { return create_stream(stream, cudaStreamDefault, 0); });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return api("cudaStreamCreateWithFlags", Reports::errors, [&] { return create_stream(stream, flags, 0); });
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return api("cudaStreamCreateWithPriority", Reports::errors, [&] { return create_stream(stream, flags, priority); });
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return api("cudaStreamDestroy", Reports::releases, [&] { return destroy_stream(stream); });
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return api("cudaStreamSynchronize", Reports::errors, [&] { return synchronize_stream(stream); });
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return api("cudaStreamQuery", Reports::answers, [&] { return query_stream(stream); });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned /*flags*/) {
  return api("cudaStreamWaitEvent", Reports::errors, [&] { return wait_for_event(stream, event); });
}
cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  return api("cudaStreamGetFlags", Reports::errors, [&] {
    const std::lock_guard lock(runtime().mutex);
    *flags = stream_of("cudaStreamGetFlags", stream)->flags;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  return api("cudaStreamGetPriority", Reports::errors, [&] {
    const std::lock_guard lock(runtime().mutex);
    *priority = stream_of("cudaStreamGetPriority", stream)->priority;
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return api("cudaDeviceGetStreamPriorityRange", Reports::errors, [&] {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceSynchronize() {
  return api("cudaDeviceSynchronize", Reports::errors, [] {
    std::unique_lock lock(runtime().mutex);
    if (!runtime().captures.empty()) {
      for (const auto& capture : runtime().captures) capture->invalid = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    runtime().wait_for_device(lock, current_device());
    return runtime().devices[static_cast<std::size_t>(current_device())].dead;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return api("cudaEventCreateWithFlags", Reports::errors, [&] {
    if (event == nullptr) return cudaErrorInvalidValue;
    const std::lock_guard lock(runtime().mutex);
    *event = new CUevent_st;
    (*event)->flags = flags;
    (*event)->device = current_device();
    runtime().event_handles.insert(*event);
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  return api("cudaEventRecordWithFlags", Reports::errors, [&] { return record_event(event, stream, flags); });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return api("cudaEventRecord", Reports::errors, [&] { return record_event(event, stream, cudaEventRecordDefault); });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return api("cudaEventQuery", Reports::answers, [&] { return query_event(event); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return api("cudaEventSynchronize", Reports::errors, [&] { return synchronize_event(event); });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  return api("cudaEventElapsedTime", Reports::errors, [&] { return elapsed(milliseconds, from, to); });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return api("cudaEventDestroy", Reports::releases,
             [&] { return destroy(runtime().event_handles, event, "cudaEventDestroy"); });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return api("cudaStreamBeginCapture", Reports::errors, [&] { return begin_capture(stream, mode); });
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return api("cudaStreamEndCapture", Reports::errors, [&] { return end_capture(stream, graph); });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return api("cudaStreamIsCapturing", Reports::errors, [&] {
    if (status == nullptr) return cudaErrorInvalidValue;
    const std::lock_guard lock(runtime().mutex);
    const auto capture = stream_of("cudaStreamIsCapturing", stream)->capture;
    *status = capture == nullptr ? cudaStreamCaptureStatusNone
              : capture->invalid ? cudaStreamCaptureStatusInvalidated
                                 : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return api("cudaThreadExchangeStreamCaptureMode", Reports::nothing, [&] {
    thread_local cudaStreamCaptureMode own = cudaStreamCaptureModeGlobal;
    std::swap(own, *mode);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long /*flags*/) {
  return api("cudaGraphInstantiate", Reports::errors, [&] { return instantiate(made, graph); });
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long /*flags*/) {
  return api("cudaGraphInstantiateWithFlags", Reports::errors, [&] { return instantiate(made, graph); });
}
cudaError_t cudaGraphUpload(cudaGraphExec_t graph, cudaStream_t stream) {
  return api("cudaGraphUpload", Reports::errors, [&] {
    const std::lock_guard lock(runtime().mutex);
    (void)graph_exec_of("cudaGraphUpload", graph);
    (void)stream_of("cudaGraphUpload", stream);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  return api("cudaGraphLaunch", Reports::errors, [&] { return launch(graph, stream); });
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return api("cudaGraphGetNodes", Reports::errors, [&] {
    const std::lock_guard lock(runtime().mutex);
    if (nodes != nullptr || count == nullptr) return cudaErrorNotSupported;
    *count = graph_of("cudaGraphGetNodes", graph)->steps->work.size();
    return cudaSuccess;
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return api("cudaGraphDestroy", Reports::releases,
             [&] { return destroy(runtime().graph_handles, graph, "cudaGraphDestroy"); });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  return api("cudaGraphExecDestroy", Reports::releases,
             [&] { return destroy(runtime().graph_exec_handles, graph, "cudaGraphExecDestroy"); });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  return api("cudaLaunchHostFunc", Reports::errors, [&] {
    if (function == nullptr) return cudaErrorInvalidValue;
    const std::lock_guard lock(runtime().mutex);
    runtime().enqueue(stream_of("cudaLaunchHostFunc", stream), [function, argument] {
      close_memory();
      running("a host function of a stream");
      function(argument);
      running(nullptr);
      open_memory_for_good();
    });
    return cudaSuccess;
  });
}

int rackproof_fake_enqueue_owned(cudaStream_t stream, void (*work)(void*), void* argument, void (*discard)(void*)) {
  const std::shared_ptr<void> owned(argument, [discard](void* gone) {
    if (discard != nullptr) discard(gone);
  });
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  meet_faults(all);  // libraries launch through the runtime
  const auto state = stream_of("rackproof_fake_enqueue", stream);
  const cudaError_t code = all.devices[static_cast<std::size_t>(state->device)].dead;
  if (code == cudaSuccess) {
    all.enqueue(state, [work, owned] {
      running("a library's work in a stream");
      work(owned.get());
      running(nullptr);
    });
  }
  return code;
}

void rackproof_fake_takes(double seconds) { taken_by_step() = seconds; }

void rackproof_fake_stretch(double seconds) {
  const auto spent = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
  stretch(std::chrono::steady_clock::now() - spent);
}

int rackproof_fake_enqueue(cudaStream_t stream, void (*work)(void*), void* argument) {
  return rackproof_fake_enqueue_owned(stream, work, argument, nullptr);
}
}

#include "common/backends/cuda/event_timer.hpp"

namespace rackproof::cuda {
namespace {

class EventTimer final : public DeviceTimer {
 public:
  explicit EventTimer(CudaDevice& device) : device_(device), begin_(make_event()), end_(make_event()) {}

  void begin() override { record(begin_); }
  void end() override { record(end_); }
  [[nodiscard]] double seconds() override {
    device_.wait(end_.get());
    float milliseconds = 0.0F;
    device_.require(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()), "cudaEventElapsedTime");
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  [[nodiscard]] Event make_event() const {
    cudaEvent_t event = nullptr;
    device_.require(cudaEventCreateWithFlags(&event, cudaEventDefault), "cudaEventCreateWithFlags");
    return own(event, device_.broken());
  }
  void record(const Event& event) const {
    device_.require(cudaEventRecord(event.get(), device_.stream()), "cudaEventRecord");
  }

  CudaDevice& device_;
  Event begin_;
  Event end_;
};

}  // namespace

std::unique_ptr<DeviceTimer> make_event_timer(CudaDevice& device) { return std::make_unique<EventTimer>(device); }

}  // namespace rackproof::cuda

// A device: memory, matrix products, and the kernels of the token engine. One implementation a backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/backends/token_kernels.hpp"
#include "common/core/data_type.hpp"
#include "common/core/quantised.hpp"
#include "common/system/telemetry.hpp"

namespace rackproof {

/// Device memory, freed at the end. 64-byte aligned at least; not initialised.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  virtual ~Buffer() = default;
  [[nodiscard]] virtual void* data() const noexcept = 0;
  [[nodiscard]] virtual std::size_t bytes() const noexcept = 0;
  template <typename T>
  [[nodiscard]] T* as() const noexcept {
    return static_cast<T*>(data());
  }
};

/// How the weights (the right-hand operand) lie in memory.
enum class WeightLayout {
  plain,  ///< as given
  packed  ///< in the order that the library likes best for this product
};

/// C[m,n] = A[m,k] x B[k,n], all row-major. Types: f64 x f64 -> f64, f32 x f32 -> f32, tf32 x tf32 -> f32, f16 x f16 ->
/// f32 or f16, bf16 x bf16 -> f32 or bf16, i8 x i8 -> i32; with a scaling f8e4m3 x f8e4m3 or f4e2m1 x f4e2m1 -> f32.
/// Accumulation in f64, i32, else in f32 or what accumulation() says. No device has all of them: refuses().
struct MatmulProblem {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  DataType input = DataType::f32;
  DataType output = DataType::f32;
  WeightLayout layout = WeightLayout::plain;
  /// The largest m that the same weights will meet. Packed weights are laid out for products of this m, and every
  /// Matmul with equal (k, n, input, output, layout, weights_for_m) takes the same packed bytes, whatever its m.
  std::int64_t weights_for_m = 0;
  /// plain only: B is given as B^T, [n,k] row-major.
  bool transposed_weights = false;
  /// Of both operands, whose elements then are element_type(scaling).
  Scaling scaling = Scaling::none;
};

/// How a product's sums are rounded: what bounds their error.
struct Accumulation {
  /// A step loses at most `unit` of its largest addend or of the sum. 0: half a unit in the last place of the
  /// accumulation's type, by rounding to nearest.
  double unit = 0.0;
  /// Products that one step adds to the sum.
  int products = 1;
  /// The sum starts anew after so many products, and the parts are added in f32; 0: never.
  int interval = 0;
};

/// A planned product.
class Matmul {
 public:
  Matmul() = default;
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;
  virtual ~Matmul() = default;

  /// Bytes of the weights in the layout of this plan.
  [[nodiscard]] virtual std::size_t weight_bytes() const = 0;
  /// Brings plain row-major B[k,n] into the layout of this plan (a copy where the layout is plain). `packed` has
  /// weight_bytes(). Not for scaled operands.
  virtual void pack(const void* plain, void* packed) = 0;
  /// Scaled operands: bytes of A in the layout of this plan.
  [[nodiscard]] virtual std::size_t input_bytes() const;
  /// Scaled operands: bring A and B (in host memory) into the layout of this plan; `packed` has input_bytes() and
  /// weight_bytes(). Where there is a scale of the matrix (nv), the plan keeps that of the last call.
  virtual void pack_input(const Quantised& a, void* packed);
  virtual void pack_weights(const Quantised& b, void* packed);
  /// a: m x k of input type, or as pack_input() wrote it; weights: as pack() or pack_weights() wrote them; c: m x n of
  /// output type. Ordered, see Device.
  virtual void run(const void* a, const void* weights, void* c) = 0;
  /// Algorithms that the library offers for this product, its first choice first.
  [[nodiscard]] virtual std::size_t algorithms() const { return 1; }
  /// The algorithm of run() from now on, below algorithms(); 0 from the start.
  virtual void choose(std::size_t /*algorithm*/) {}
  [[nodiscard]] virtual Accumulation accumulation() const { return {}; }
  /// What runs it, for the record: "oneDNN 2.6.3 brg:avx512_core_bf16_amx_bf16", "OpenBLAS 0.3.21 SkylakeX".
  [[nodiscard]] virtual std::string implementation() const = 0;
};

/// The rates that MFU and MBU are shares of, for one rank.
struct Peaks {
  std::map<DataType, double> flops;  ///< flop/s by input type
  double memory_bandwidth = 0.0;     ///< bytes/s
  std::string source;                ///< "measured at start: best of ..." or the data sheet's name
};

/// Calls that were made once and can be made again together, with the same pointers and numbers.
class Recording {
 public:
  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  virtual ~Recording() = default;
  /// Ordered, see Device.
  virtual void replay() = 0;
};

/// Time by the device's own clock.
class DeviceTimer {
 public:
  DeviceTimer() = default;
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;
  virtual ~DeviceTimer() = default;
  virtual void begin() = 0;  ///< ordered, see Device
  virtual void end() = 0;    ///< ordered
  /// Seconds between the last begin() and end(); waits for end().
  [[nodiscard]] virtual double seconds() = 0;
};

/// What a device is asked to do it does in that order: products, token kernels, copies, replays, and the collectives
/// over its memory. Such a call may return before its work is complete; synchronize() waits for all of it, and throws
/// what went wrong meanwhile. Host memory that was handed to a copy may be used again when the copy returns.
class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  /// "Intel Xeon Platinum 8480C, 2 threads"; two ranks with equal names are of one kind.
  [[nodiscard]] virtual std::string name() const = 0;
  /// Identity of the part: serial number or UUID; empty where unknown.
  [[nodiscard]] virtual std::string serial() const = 0;
  [[nodiscard]] virtual std::string id() const = 0;  ///< "host:0", "cuda:3"
  /// What else identifies and places the part, by name, for the record: "uuid", "pci_bus_id", "numa_node", "driver".
  [[nodiscard]] virtual std::map<std::string, std::string> facts() const { return {}; }
  [[nodiscard]] virtual bool is_fake() const { return false; }
  /// False once an error was thrown after which nothing can run on it any more.
  [[nodiscard]] virtual bool is_usable() const { return true; }
  [[nodiscard]] virtual int threads() const = 0;
  /// Bytes that this rank may still allocate (its share where ranks share the memory).
  [[nodiscard]] virtual std::size_t memory_available() const = 0;
  /// Bytes of the last-level cache that this rank can reach, its share where ranks share it.
  [[nodiscard]] virtual std::size_t cache_bytes() const = 0;
  /// True where this device computes the type at all.
  [[nodiscard]] virtual bool supports(DataType type) const = 0;
  /// Not empty: matmul() would refuse the problem, and why: "cuBLASLt multiplies i8 with transposed weights alone".
  [[nodiscard]] virtual std::string refuses(const MatmulProblem& /*problem*/) const { return {}; }

  /// Throws Error (infrastructure) that says how much was asked for and how much there is.
  [[nodiscard]] virtual std::unique_ptr<Buffer> allocate(std::size_t bytes) = 0;
  /// Memory of the host that copies between it and this device like best: page-locked for a GPU. 64-byte aligned at
  /// least; not initialised. Throws Error (infrastructure).
  [[nodiscard]] virtual std::unique_ptr<Buffer> allocate_host(std::size_t bytes);
  /// True where this device reads and writes any memory of the host through its page tables, coherently: copies from
  /// and to pageable memory then need no staging.
  [[nodiscard]] virtual bool is_coherent_with_host() const { return is_host(); }
  /// `host` may be used again on return.
  virtual void copy_to_device(void* device, const void* host, std::size_t bytes) = 0;
  /// Complete on return.
  virtual void copy_to_host(void* host, const void* device, std::size_t bytes) = 0;
  /// Within the memory of this device, as fast as it can; the two do not overlap.
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  /// checksum() is there.
  [[nodiscard]] virtual bool can_checksum() const { return false; }
  /// Adds a checksum of `bytes` (a multiple of 4) at `data` to `*sum`, both in the memory of this device; ordered. Any
  /// word that changes changes it. About as fast as the memory is read.
  virtual void checksum(const void* data, std::size_t bytes, std::uint64_t* sum);
  /// True where the device is the host itself: nothing lies between their memories.
  [[nodiscard]] virtual bool is_host() const { return false; }
  [[nodiscard]] virtual std::unique_ptr<Matmul> matmul(const MatmulProblem& problem) = 0;
  [[nodiscard]] virtual TokenKernels& token_kernels() = 0;
  /// Waits until all that was started has ended. Throws Error (infrastructure) where something failed meanwhile.
  virtual void synchronize() = 0;
  /// Calls `work` to learn what it asks of this device, and makes that one thing to start. `work` must not wait for the
  /// device nor look at its memory, and collectives in it need Collective::can_be_recorded(). Where a device cannot,
  /// replay() calls `work` each time.
  [[nodiscard]] virtual std::unique_ptr<Recording> record(std::function<void()> work);
  /// Null: this device keeps no time of its own; the host's is that of the device.
  [[nodiscard]] virtual std::unique_ptr<DeviceTimer> make_timer() { return nullptr; }
  /// What the part feels, by name, to be read while it works; null: it does not tell. May outlive the device.
  [[nodiscard]] virtual std::unique_ptr<TelemetrySource> telemetry() { return nullptr; }
  /// Peak rates; measured where no data sheet can be had. Takes about a second; ranks call it at the same time.
  [[nodiscard]] virtual Peaks measure_peaks() = 0;
};

}  // namespace rackproof

// The token kernels of a device whose memory is not the host's, for tests whose operands are: everything that a kernel
// may read is copied there, what it may write is copied back.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/backends/backend.hpp"

namespace rackproof {

class StagedTokenKernels final : public TokenKernels {
 public:
  explicit StagedTokenKernels(std::unique_ptr<Device> device) : device_(std::move(device)) {}

  void run(const EmbeddingArgs& args) override {
    EmbeddingArgs there = args;
    Stage stage(*device_);
    stage.in(there.tokens, args.count);
    stage.in(there.table, elements(args.rows * args.hidden, args.type));
    stage.out(there.output, args.count * args.hidden);
    finish(there, stage);
  }
  void run(const ResidualNormArgs& args) override {
    ResidualNormArgs there = args;
    Stage stage(*device_);
    const std::int64_t all = args.count * args.row_stride * args.hidden;
    stage.out(there.residual, all);
    if (args.delta != nullptr) stage.in(there.delta, all);
    stage.in(there.weight, args.hidden);
    stage.out(there.output, elements(args.count * args.hidden, args.output_type));
    finish(there, stage);
  }
  void run(const RopeArgs& args) override {
    RopeArgs there = args;
    Stage stage(*device_);
    const std::int64_t row = (args.heads + 2 * args.cache.kv_heads) * args.cache.head_dim;
    stage.out(there.qkv, args.cache.batch * args.length * row);
    stage.in(there.rotations, (args.start + args.length) * args.cache.head_dim);
    stage_cache(there.cache, stage);
    finish(there, stage);
  }
  void run(const AttentionArgs& args) override {
    AttentionArgs there = args;
    Stage stage(*device_);
    const std::int64_t rows = args.cache.batch * args.length;
    const std::int64_t width = args.heads * args.cache.head_dim;
    // Of the last row no more than the queries need be there.
    stage.in(there.queries, (rows - 1) * args.row_stride + width);
    stage_cache(there.cache, stage);
    stage.out(there.output, elements(rows * width, args.cache.type));
    finish(there, stage);
  }
  void run(const SwigluArgs& args) override {
    SwigluArgs there = args;
    Stage stage(*device_);
    stage.in(there.gate_up, args.count * 2 * args.width);
    stage.out(there.output, elements(args.count * args.width, args.output_type));
    finish(there, stage);
  }
  void run(const CandidatesArgs& args) override {
    CandidatesArgs there = args;
    Stage stage(*device_);
    stage.in(there.logits, args.count * args.width);
    stage.out(there.output, args.count * args.candidates);
    finish(there, stage);
  }
  [[nodiscard]] std::string implementation() const override { return device_->token_kernels().implementation(); }

 private:
  /// So many bytes behind a pointer to void.
  struct Bytes {
    std::size_t count;
  };
  static Bytes elements(std::int64_t count, DataType type) {
    // What a test passes in a type that no kernel takes is refused before it is looked at.
    return {count > 0 ? bytes_of(static_cast<std::size_t>(count), type) : 0};
  }

  class Stage {
   public:
    explicit Stage(Device& device) : device_(device) {}
    template <typename T>
    void in(const T*& pointer, std::int64_t count) {
      pointer = static_cast<const T*>(put(pointer, bytes<T>(count)));
    }
    void in(const void*& pointer, Bytes size) { pointer = put(pointer, size.count); }
    template <typename T>
    void out(T*& pointer, std::int64_t count) {
      T* const host = pointer;
      pointer = static_cast<T*>(put(host, bytes<T>(count)));
      back_.push_back({host, pointer, bytes<T>(count)});
    }
    void out(void*& pointer, Bytes size) {
      void* const host = pointer;
      pointer = put(host, size.count);
      back_.push_back({host, pointer, size.count});
    }
    void copy_back() {
      for (const Back& one : back_) device_.copy_to_host(one.host, one.device, one.bytes);
    }

   private:
    struct Back {
      void* host;
      const void* device;
      std::size_t bytes;
    };
    template <typename T>
    static std::size_t bytes(std::int64_t count) {
      return count > 0 ? static_cast<std::size_t>(count) * sizeof(T) : 0;
    }
    void* put(const void* host, std::size_t bytes) {
      if (host == nullptr || bytes == 0) return nullptr;
      buffers_.push_back(device_.allocate(bytes));
      device_.copy_to_device(buffers_.back()->data(), host, bytes);
      return buffers_.back()->data();
    }
    Device& device_;
    std::vector<std::unique_ptr<Buffer>> buffers_;
    std::vector<Back> back_;
  };

  static void stage_cache(KeyValueCache& cache, Stage& stage) {
    const Bytes size = elements(cache.batch * cache.kv_heads * cache.pages * kv_page * cache.head_dim, cache.type);
    stage.out(cache.keys, size);
    stage.out(cache.values, size);
  }
  template <typename Args>
  void finish(const Args& args, Stage& stage) {
    device_->token_kernels().run(args);
    stage.copy_back();
  }

  std::unique_ptr<Device> device_;
};

/// The first GPU; null where there is none, or none that this build can use.
inline std::unique_ptr<Device> open_first_gpu() {
  const auto backends = make_all_backends();
  for (const auto& backend : backends) {
    if (backend->name() == "cuda" && backend->devices_present() > 0) {
      return backend->open_device({.local_rank = 0, .ranks_on_node = 1, .threads = 1});
    }
  }
  return nullptr;
}

}  // namespace rackproof

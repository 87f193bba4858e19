// Which algorithm and protocol NCCL takes for a collective, as it tells its profiler plug-in (from 2.27 on).
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace rackproof::nccl {

/// What NCCL chose for the last collective of one communicator.
///
/// NCCL looks for the plug-in in the program itself where NCCL_PROFILER_PLUGIN says STATIC_PLUGIN, and hands it the
/// name that a communicator was given, which has the address of this object in it. Events are switched on for the first
/// call of each kind and off again by the event: in the calls that are timed, NCCL reads a word that is 0.
class Choices {
 public:
  Choices();
  Choices(const Choices&) = delete;
  Choices& operator=(const Choices&) = delete;
  ~Choices() = default;

  /// Before NCCL is loaded: makes it ask this program, unless the user has a plug-in of his own.
  static void offer_plugin();

  /// For ncclConfig_t::commName; lives as long as this.
  [[nodiscard]] const char* communicator_name() const noexcept { return name_.c_str(); }
  /// The next collective is to be told of; what was known of others is forgotten.
  void ask() noexcept;
  /// "algorithm RING, protocol LL128, 8 channels"; "algorithm unknown" where NCCL said nothing.
  [[nodiscard]] std::string text() const;

  /// Of the plug-in: where NCCL keeps its switch, and what it chose. Any thread.
  void attach(int* event_mask) noexcept;
  void told(const char* algorithm, const char* protocol, unsigned channels) noexcept;

 private:
  std::string name_;
  std::atomic<int*> event_mask_ = nullptr;
  // Names that live as long as the library does.
  std::atomic<const char*> algorithm_ = nullptr;
  std::atomic<const char*> protocol_ = nullptr;
  std::atomic<unsigned> channels_ = 0;
};

}  // namespace rackproof::nccl

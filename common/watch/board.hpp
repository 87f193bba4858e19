// The progress of all ranks of a node, in memory that they share and that outlives each of them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/core/progress_word.hpp"

namespace rackproof::watch {

/// What one rank has on the board. Of its own cache lines.
struct alignas(128) BoardSlot {
  ProgressWord progress;
  std::atomic<std::int32_t> rank{0};
  std::atomic<std::int32_t> pid{0};
  std::atomic<std::uint64_t> started{0};    ///< as ProcessState::started
  std::atomic<std::uint64_t> heartbeat{0};  ///< of its watchdog's thread
  std::array<char, 96> device{};            ///< written once, before anybody looks
  /// The addresses that the rank's main thread returns to, written by its signal handler: how often it has, and how
  /// many.
  static constexpr std::size_t most_frames = 40;
  std::atomic<std::uint32_t> stacks_taken{0};
  std::atomic<std::uint32_t> frames{0};
  std::array<std::atomic<std::uintptr_t>, most_frames> stack{};
};

/// A file in the node's shared memory. Without a name once all ranks have it, so that nothing is left behind whatever
/// happens; each process keeps it open, and what is in it can be read through /proc/PID/fd.
class Board {
 public:
  /// Makes a file for so many ranks. Throws Error (infrastructure) where there is no room.
  explicit Board(int ranks);
  /// Takes the one that another process has made. Throws Error (infrastructure) where it is not there.
  Board(const std::string& path, int ranks);
  Board(Board&& other) noexcept;
  Board& operator=(Board&&) = delete;
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;
  ~Board();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Takes its name away.
  void unlink() noexcept;

  [[nodiscard]] int size() const noexcept { return ranks_; }
  [[nodiscard]] BoardSlot& slot(int local_rank) const;
  /// All processes of the node shall end.
  [[nodiscard]] std::atomic<std::uint32_t>& ending() const noexcept { return head_->ending; }
  /// How many ranks of the node cannot go on because of others.
  [[nodiscard]] std::atomic<std::uint32_t>& asking() const noexcept { return head_->asking; }

 private:
  struct alignas(128) Head {
    std::atomic<std::uint32_t> ending{0};
    std::atomic<std::uint32_t> asking{0};
  };
  void map();
  [[nodiscard]] std::size_t bytes() const noexcept;

  std::string path_;
  int ranks_;
  int descriptor_ = -1;
  bool named_ = false;  ///< by this process
  Head* head_ = nullptr;
};

}  // namespace rackproof::watch

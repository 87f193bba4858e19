#include "common/watch/board.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "common/core/error.hpp"

namespace rackproof::watch {
namespace {

Error board_error(const std::string& path, const char* what, int error) {
  return infrastructure_error(
      fmt::format("the watchdog's board {} cannot be {}: {}", printable(path, 400), what, std::strerror(error)));
}

/// Nobody else's, and kept by no program that this one may start.
int make_file(std::string& path) {
  path = "/dev/shm/rackproof-board-XXXXXX";
  int descriptor = ::mkostemp(path.data(), O_CLOEXEC);
  if (descriptor >= 0) return descriptor;
  const char* folder = std::getenv("TMPDIR");
  path = fmt::format("{}/rackproof-board-XXXXXX", folder != nullptr && *folder != '\0' ? folder : "/tmp");
  return ::mkostemp(path.data(), O_CLOEXEC);
}

}  // namespace

std::size_t Board::bytes() const noexcept {
  return sizeof(Head) + static_cast<std::size_t>(ranks_) * sizeof(BoardSlot);
}

Board::Board(int ranks) : ranks_(ranks) {
  descriptor_ = make_file(path_);
  if (descriptor_ < 0) throw board_error(path_, "created", errno);
  named_ = true;
  try {
    // Now, and not as a SIGBUS when it is written to.
    if (const int error = ::posix_fallocate(descriptor_, 0, static_cast<off_t>(bytes())); error != 0) {
      throw board_error(path_, "filled", error);
    }
    map();
  } catch (...) {
    unlink();
    ::close(descriptor_);
    throw;
  }
}

Board::Board(const std::string& path, int ranks) : path_(path), ranks_(ranks) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor_ < 0) throw board_error(path_, "opened", errno);
  try {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || static_cast<std::size_t>(status.st_size) != bytes()) {
      throw board_error(path_, "used", EINVAL);
    }
    map();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

Board::Board(Board&& other) noexcept
    : path_(std::move(other.path_)),
      ranks_(other.ranks_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      named_(std::exchange(other.named_, false)),
      head_(std::exchange(other.head_, nullptr)) {}

Board::~Board() {
  unlink();
  if (head_ != nullptr) ::munmap(head_, bytes());
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Board::map() {
  void* memory = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
  if (memory == MAP_FAILED) throw board_error(path_, "mapped", errno);
  // A new file is zero, which is what its members begin as: nothing is constructed, which would undo what others wrote.
  head_ = static_cast<Head*>(memory);
}

void Board::unlink() noexcept {
  if (std::exchange(named_, false)) ::unlink(path_.c_str());
}

BoardSlot& Board::slot(int local_rank) const {
  auto* const slots = static_cast<BoardSlot*>(static_cast<void*>(head_ + 1));
  return slots[local_rank];
}

}  // namespace rackproof::watch

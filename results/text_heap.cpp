#include "results/text_heap.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "results/part_file.hpp"

namespace rackproof::results {
namespace {

// HDF5 File Format Specification 3.0, III.E "Global Heap". A collection: signature (4 bytes), version 1, 3 bytes of 0,
// size of the collection (8 bytes, these 16 included), then objects: index (2), references (2), 4 bytes of 0, size (8),
// data padded to 8 bytes. Index 0 is the free space at the end; its size counts its own 16 bytes.
constexpr std::string_view collection_start{"GCOL\x01\0\0\0", 8};
constexpr std::uint64_t header_bytes = 16;
constexpr std::uint64_t max_collection_bytes = std::uint64_t{256} << 20;
constexpr std::size_t max_collections = 1'000'000;
/// Of one text in a dataset: length (4), address of the collection (8), index in it (4).
constexpr std::size_t reference_bytes = 16;

/// Unsigned, little-endian.
std::uint64_t number(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = (value << 8U) | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

Error damage(const std::string& what) { return {ExitCode::usage, "result file", 0, "", what}; }

TextHeap::TextHeap(const std::filesystem::path& path)
    : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  struct stat status {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) throw damage(os_message(errno));
  file_size_ = static_cast<std::uint64_t>(status.st_size);
  constexpr std::size_t step = std::size_t{1} << 20;
  const std::size_t overlap = collection_start.size() - 1;
  for (std::uint64_t at = 0; at < file_size_; at += step) {
    const std::uint64_t wanted = std::min<std::uint64_t>(step + overlap, file_size_ - at);
    const std::string block = bytes(at, static_cast<std::size_t>(wanted));
    for (std::size_t found = block.find(collection_start); found != std::string::npos;
         found = block.find(collection_start, found + 1)) {
      add_collection(at + found);
    }
  }
}

TextHeap::~TextHeap() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string TextHeap::bytes(std::uint64_t offset, std::size_t size) const {
  if (offset > file_size_ || size > file_size_ - offset) throw damage("text lies beyond its end");
  std::string out(size, '\0');
  for (std::size_t done = 0; done < size;) {
    const ssize_t got = ::pread(descriptor_, out.data() + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw damage(got < 0 ? os_message(errno) : "it shrinks while it is read");
    done += static_cast<std::size_t>(got);
  }
  return out;
}

void TextHeap::add_collection(std::uint64_t address) {
  const auto bad = [address] { return damage(fmt::format("its text at byte {} is damaged or cut off", address)); };
  if (file_size_ - address < header_bytes || collections_.size() >= max_collections) throw bad();
  const std::uint64_t size = number(std::string_view(bytes(address + 8, 8)));
  if (size < header_bytes || size > max_collection_bytes || size > file_size_ - address) throw bad();
  const std::string all = bytes(address, static_cast<std::size_t>(size));
  Collection collection;
  for (std::uint64_t at = header_bytes; size - at >= header_bytes;) {
    const std::string_view object = std::string_view(all).substr(at, header_bytes);
    const auto index = static_cast<std::uint16_t>(number(object.substr(0, 2)));
    const std::uint64_t length = number(object.substr(8, 8));
    if (index == 0) {
      if (length < header_bytes || length > size - at) throw bad();
      break;
    }
    const std::uint64_t room = size - at - header_bytes;
    if (length > room || !collection.emplace(index, Object{address + at + header_bytes, length}).second) throw bad();
    const std::uint64_t padded = (length + 7) / 8 * 8;
    if (padded > room) throw bad();
    at += header_bytes + padded;
  }
  collections_.emplace(address, std::move(collection));
}

std::vector<std::string> TextHeap::read(std::uint64_t address, std::size_t count, std::size_t& budget) const {
  const std::string references = bytes(address, count * reference_bytes);
  std::vector<std::string> texts;
  texts.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view reference = std::string_view(references).substr(i * reference_bytes, reference_bytes);
    const std::uint64_t length = number(reference.substr(0, 4));
    if (length == 0) {
      texts.emplace_back();
      continue;
    }
    const auto collection = collections_.find(number(reference.substr(4, 8)));
    if (collection == collections_.end()) throw damage("a text points to nowhere");
    const std::uint64_t index = number(reference.substr(12, 4));
    const auto object =
        index <= 0xffff ? collection->second.find(static_cast<std::uint16_t>(index)) : collection->second.end();
    if (object == collection->second.end() || length > object->second.size || length > budget) {
      throw damage("a text points to nowhere");
    }
    budget -= static_cast<std::size_t>(length);
    std::string text = bytes(object->second.offset, static_cast<std::size_t>(length));
    text.resize(std::min(text.size(), text.find('\0')));
    texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace rackproof::results

#include "suites/links/payload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/core/random.hpp"

namespace rackproof::links {
namespace {

/// "link" in ASCII: this suite's own stream of random numbers; a rank's is this one with its number above.
constexpr std::uint64_t payload_purpose = 0x6c696e6b;
constexpr std::uint64_t word_bytes = 8;

std::uint64_t stream_of(int rank, std::uint64_t seed) {
  return random_stream(seed, payload_purpose | (static_cast<std::uint64_t>(rank) << 32U));
}

std::uint64_t word(std::uint64_t stream, std::uint64_t position) {
  return random_bits(stream, position % period / word_bytes);
}

std::uint64_t read_word(const std::byte* from) {
  std::uint64_t value = 0;
  std::memcpy(&value, from, word_bytes);
  return value;
}

}  // namespace

std::vector<std::byte> text_of(int rank, std::uint64_t seed) {
  std::vector<std::byte> text(period);
  const std::uint64_t stream = stream_of(rank, seed);
  for (std::uint64_t position = 0; position < period; position += word_bytes) {
    const std::uint64_t value = word(stream, position);
    std::memcpy(text.data() + position, &value, word_bytes);
  }
  return text;
}

Checker::Checker(int sender, int ranks, std::uint64_t seed)
    : sender_(sender), ranks_(ranks), seed_(seed), text_(text_of(sender, seed)) {}

void Checker::check(std::uint64_t position, std::uint64_t offset, const std::byte* received, std::uint64_t bytes) {
  checked_ += bytes / word_bytes;
  for (std::uint64_t done = 0; done < bytes;) {
    const std::uint64_t place = (position + done) % period;
    const std::uint64_t piece = std::min(bytes - done, period - place);
    if (std::memcmp(received + done, text_.data() + place, piece) != 0) {
      for (std::uint64_t i = 0; i < piece; i += word_bytes) {
        if (std::memcmp(received + done + i, text_.data() + place + i, word_bytes) == 0) continue;
        if (wrong_++ > 0) continue;
        first_offset_ = offset + done + i;
        first_position_ = position + done + i;
        first_received_ = read_word(received + done + i);
      }
    }
    done += piece;
  }
}

std::string Checker::report() const {
  if (wrong_ == 0) return "";
  std::string whose;
  for (int rank = 0; rank < ranks_ && whose.empty(); ++rank) {
    const std::uint64_t stream = stream_of(rank, seed_);
    if (word(stream, first_position_) == first_received_) {
      whose = fmt::format(", which is what rank {} sends", rank);
      continue;
    }
    for (std::uint64_t position = 0; position < period; position += word_bytes) {
      if (word(stream, position) != first_received_) continue;
      whose = rank == sender_ ? ", which is of another of its messages"
                              : fmt::format(", which is of another message of rank {}", rank);
      break;
    }
  }
  return fmt::format(
      "{} of {} words from rank {} are wrong; the first is at byte {}: expected {:016x}, received {:016x}{}", wrong_,
      checked_, sender_, first_offset_, read_word(text_.data() + first_position_ % period), first_received_, whose);
}

}  // namespace rackproof::links

#include "common/core/error.hpp"

#include <fmt/format.h>

#include <utility>

namespace rackproof {

Error::Error(ExitCode exit_code, std::string domain, int code, std::string call, const std::string& what, Place place)
    : std::runtime_error(what),
      exit_code_(exit_code),
      domain_(std::move(domain)),
      code_(code),
      call_(std::move(call)),
      place_(std::move(place)) {}

std::string Error::line() const {
  std::string text = what();
  if (!call_.empty()) text += fmt::format(" ({}: {})", call_, code_);
  std::string where;
  const auto add = [&where](const std::string& part) { where += (where.empty() ? "" : ", ") + part; };
  if (!place_.host.empty()) add("host " + place_.host);
  if (place_.rank >= 0) add(fmt::format("rank {}", place_.rank));
  if (!place_.device.empty()) add("device " + place_.device);
  if (!where.empty()) text += " [" + where + "]";
  return printable(text, 2000);
}

Error usage_error(const std::string& what) { return {ExitCode::usage, "usage", 0, "", what}; }

Error infrastructure_error(const std::string& what, Place place) {
  return {ExitCode::infrastructure, "infrastructure", 0, "", what, std::move(place)};
}

namespace {

/// Length of the valid UTF-8 sequence at the start of `text`, or 0.
std::size_t utf8_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  std::size_t length = 0;
  unsigned value = 0;
  if (lead < 0x80) return 1;
  if ((lead & 0xe0U) == 0xc0U) {
    length = 2;
    value = lead & 0x1fU;
  } else if ((lead & 0xf0U) == 0xe0U) {
    length = 3;
    value = lead & 0x0fU;
  } else if ((lead & 0xf8U) == 0xf0U) {
    length = 4;
    value = lead & 0x07U;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0U) != 0x80U) return 0;
    value = (value << 6U) | (byte & 0x3fU);
  }
  const bool overlong = (length == 2 && value < 0x80) || (length == 3 && value < 0x800) ||
                        (length == 4 && (value < 0x10000 || value > 0x10ffff));
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  const bool c1_control = value >= 0x80 && value < 0xa0;
  const bool direction_override = (value >= 0x202a && value <= 0x202e) || (value >= 0x2066 && value <= 0x2069);
  return overlong || surrogate || c1_control || direction_override ? 0 : length;
}

}  // namespace

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  while (!text.empty()) {
    if (out.size() >= limit) return out + "...";
    const std::size_t length = utf8_length(text);
    const auto lead = static_cast<unsigned char>(text.front());
    if (length == 0 || lead < 0x20 || lead == 0x7f) {
      out += '?';
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

}  // namespace rackproof

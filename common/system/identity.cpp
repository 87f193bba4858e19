#include "common/system/identity.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <ctime>

#include "common/core/error.hpp"

namespace rackproof {

std::string host_name() {
  std::array<char, 256> name{};
  // Not terminated where it was cut: the last byte stays 0.
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return printable(name.data(), name.size());
}

namespace {

std::tm utc(std::chrono::system_clock::time_point when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm fields{};
  gmtime_r(&seconds, &fields);
  return fields;
}

}  // namespace

std::string utc_timestamp(std::chrono::system_clock::time_point when) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc(when));
}

std::string compact_utc_timestamp(std::chrono::system_clock::time_point when) {
  return fmt::format("{:%Y%m%dT%H%M%SZ}", utc(when));
}

std::string uuid4() {
  try {
    boost::uuids::random_generator generate;
    return boost::uuids::to_string(generate());
  } catch (const boost::uuids::entropy_error& error) {
    throw Error(ExitCode::infrastructure, "system", static_cast<int>(error.errcode()), "getrandom",
                "the kernel gives no random numbers for the id of this run: check /dev/urandom", {host_name(), -1, ""});
  }
}

}  // namespace rackproof

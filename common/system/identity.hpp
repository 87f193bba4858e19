// Who and when: the names that a result file carries.
#pragma once

#include <chrono>
#include <string>

namespace rackproof {

/// The node's name as the kernel gives it, with control characters replaced; "localhost" where it has none.
[[nodiscard]] std::string host_name();

/// ISO 8601 in UTC: "2026-03-05T14:03:22Z".
[[nodiscard]] std::string utc_timestamp(std::chrono::system_clock::time_point when = std::chrono::system_clock::now());

/// ISO 8601 basic form, fit for a file name: "20260305T140322Z".
[[nodiscard]] std::string compact_utc_timestamp(
    std::chrono::system_clock::time_point when = std::chrono::system_clock::now());

/// A random UUID (version 4, RFC 4122) from the kernel's random numbers: "3f0c1d3e-....".
/// Throws Error (infrastructure) where the kernel gives none.
[[nodiscard]] std::string uuid4();

}  // namespace rackproof

// What may be written down about how a program was started. A result file is passed around, between integrators and
// customers too, so nothing goes into it by default:
//   1. Of the environment, only variables that change what is measured, by an allow-list of prefixes and names.
//   2. Of those, a value is replaced by "<redacted>" where the name says that it is a secret (TOKEN, SECRET,
//      PASSWORD, KEY, CREDENTIAL, AUTH, COOKIE, ... anywhere in it, in either case).
//   3. In every value, "user:password@" and "scheme://user@" lose what stands before the '@'.
//   4. The command line gets rules 2 and 3: `--token x`, `--token=x`, `token=x`.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rackproof {

/// Is this variable on the allow-list?
[[nodiscard]] bool is_recorded_variable(std::string_view name);

/// Does the name say that its value is a secret? "tokens" as a word of its own is our unit, not a secret.
[[nodiscard]] bool names_a_secret(std::string_view name);

/// The value with the user part of every URL and "user:password@" taken out.
[[nodiscard]] std::string redact_credentials(std::string_view value);

/// What may be recorded of the given variables ("NAME=value"), redacted.
[[nodiscard]] std::map<std::string, std::string> recorded_environment(std::span<const std::string> variables);

/// The same, of this process.
[[nodiscard]] std::map<std::string, std::string> recorded_environment();

/// The arguments redacted and joined by spaces, quoted as a POSIX shell needs it.
[[nodiscard]] std::string recorded_command_line(std::span<const std::string> arguments);
[[nodiscard]] std::string recorded_command_line(int argc, const char* const* argv);

}  // namespace rackproof

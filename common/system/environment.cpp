#include "common/system/environment.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>

#include "common/core/error.hpp"

namespace rackproof {

namespace {

constexpr std::string_view redacted = "<redacted>";
/// Longer values are cut: a result file is no place for them.
constexpr std::size_t longest_value = 64 * 1024;

/// Threads and BLAS; MPI and its launchers; GPUs; fabrics; the result file; ourselves; the loader and the allocator.
constexpr std::array recorded_prefixes = std::to_array<std::string_view>(
    {"OMP_",   "GOMP_",  "KMP_",   "OPENBLAS_", "GOTO_",      "BLIS_",    "MKL_",    "DNNL_",  "ONEDNN_",
     "OMPI_",  "OPAL_",  "PRTE_",  "PMIX_",     "PMI_",       "MPICH_",   "MPIR_",   "HYDRA_", "I_MPI_",
     "SLURM_", "NCCL_",  "CUDA_",  "CUBLAS_",   "CUBLASLT_",  "NVSHMEM_", "NVIDIA_", "UCX_",   "UCC_",
     "FI_",    "HCOLL_", "SHARP_", "HDF5_",     "RACKPROOF_", "MALLOC_"});
constexpr std::array recorded_names =
    std::to_array<std::string_view>({"LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES", "HWLOC_XMLFILE"});
/// Open MPI's copy of our command line, which is recorded by its own rules.
constexpr std::array unrecorded_names = std::to_array<std::string_view>({"OMPI_ARGV"});

/// JWT: Slurm's SLURM_JWT is a bearer token. PRECONDITION_TRANSPORTS: Open MPI's key between processes of a job.
constexpr std::array secret_words =
    std::to_array<std::string_view>({"TOKEN", "SECRET", "PASSW", "PASSPHRASE", "KEY", "CREDENTIAL", "AUTH", "COOKIE",
                                     "JWT", "PRECONDITION_TRANSPORTS"});

bool is_name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
}

bool is_space_or_quote(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0 || c == '"' || c == '\'' || c == '`';
}

/// One word of a value: no blanks or quotes inside.
std::string redact_word(std::string_view word) {
  const std::size_t last_at = word.rfind('@');
  if (last_at == std::string_view::npos) return std::string(word);
  const auto hide = [&](std::size_t from, std::size_t at) {
    return std::string(word.substr(0, from)).append(redacted).append(word.substr(at));
  };
  const std::size_t scheme = word.find("://");
  if (scheme != std::string_view::npos) {
    const std::size_t begin = scheme + 3;
    const std::string_view authority = word.substr(begin, word.find_first_of("/?#", begin) - begin);
    const std::size_t at = authority.rfind('@');
    if (at != std::string_view::npos) return hide(begin, begin + at);
    // A password with a '/' in it ends what looks like the authority: then that has a ':' without a port after it.
    const std::size_t colon = authority.rfind(':');
    const bool port = colon != std::string_view::npos &&
                      std::all_of(authority.begin() + static_cast<std::ptrdiff_t>(colon) + 1, authority.end(),
                                  [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; });
    return colon != std::string_view::npos && !port && last_at > begin ? hide(begin, last_at) : std::string(word);
  }
  // Without a scheme. In a list of paths an '@' belongs to a file name: only what follows the last '/' counts.
  std::size_t begin = 0;
  if (word.front() == '/' || word.front() == '.' || word.find(":/") < last_at) begin = word.rfind('/', last_at) + 1;
  const std::size_t colon = word.find(':', begin);
  return colon != std::string_view::npos && colon < last_at ? hide(begin, last_at) : std::string(word);
}

/// Rule 2 for assignments inside a text: what follows "NAME=" of a secret is gone, to the end of the text.
std::string redact_assignments(std::string_view text) {
  for (std::size_t equals = text.find('='); equals != std::string_view::npos; equals = text.find('=', equals + 1)) {
    std::size_t begin = equals;
    while (begin > 0 && is_name_character(text[begin - 1])) --begin;
    if (names_a_secret(text.substr(begin, equals - begin))) {
      return std::string(text.substr(0, equals + 1)).append(redacted);
    }
  }
  return std::string(text);
}

std::string redact_text(std::string_view text) { return redact_credentials(redact_assignments(text)); }

/// `NAME=VALUE` keeps its name, whatever the value looks like.
std::string redact_argument(std::string_view argument) {
  const auto* name_end = std::find_if_not(argument.begin(), argument.end(), is_name_character);
  if (name_end == argument.end() || *name_end != '=') return redact_text(argument);
  const auto length = static_cast<std::size_t>(name_end - argument.begin()) + 1;
  const std::string cut = redact_assignments(argument);
  return cut.substr(0, length) + redact_credentials(std::string_view(cut).substr(length));
}

std::string shell_quoted(const std::string& argument) {
  const bool bare = !argument.empty() && std::all_of(argument.begin(), argument.end(), [](char c) {
    return is_name_character(c) || std::string_view("@%+=:,/").find(c) != std::string_view::npos;
  });
  if (bare) return argument;
  std::string quoted = "'";
  for (const char c : argument) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

bool is_recorded_variable(std::string_view name) {
  if (std::find(unrecorded_names.begin(), unrecorded_names.end(), name) != unrecorded_names.end()) return false;
  return std::find(recorded_names.begin(), recorded_names.end(), name) != recorded_names.end() ||
         std::any_of(recorded_prefixes.begin(), recorded_prefixes.end(),
                     [name](std::string_view prefix) { return name.starts_with(prefix); });
}

bool names_a_secret(std::string_view name) {
  // Without the words that are "tokens".
  std::string rest;
  for (std::size_t begin = 0; begin < name.size();) {
    const std::size_t end = std::min(name.find_first_of("_-.", begin), name.size());
    std::string word(name.substr(begin, end - begin));
    std::transform(word.begin(), word.end(), word.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    if (word != "TOKENS") rest += word + "_";
    begin = end + 1;
  }
  return std::any_of(secret_words.begin(), secret_words.end(),
                     [&rest](std::string_view word) { return rest.find(word) != std::string::npos; });
}

std::string redact_credentials(std::string_view value) {
  std::string out;
  while (!value.empty()) {
    const auto word_size =
        static_cast<std::size_t>(std::find_if(value.begin(), value.end(), is_space_or_quote) - value.begin());
    if (word_size == 0) {
      out += value.front();
      value.remove_prefix(1);
    } else {
      out += redact_word(value.substr(0, word_size));
      value.remove_prefix(word_size);
    }
  }
  return out;
}

std::map<std::string, std::string> recorded_environment(std::span<const std::string> variables) {
  std::map<std::string, std::string> recorded;
  for (const std::string& variable : variables) {
    const std::size_t equals = variable.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = variable.substr(0, equals);
    if (!is_recorded_variable(name)) continue;
    const std::string value =
        names_a_secret(name) ? std::string(redacted) : redact_text(std::string_view(variable).substr(equals + 1));
    recorded[printable(name)] = printable(value, longest_value);
  }
  return recorded;
}

std::map<std::string, std::string> recorded_environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return recorded_environment(variables);
}

std::string recorded_command_line(std::span<const std::string> arguments) {
  std::string line;
  bool value_of_a_secret = false;
  for (const std::string& argument : arguments) {
    const bool option = argument.starts_with('-');
    // After `--token`, unless that was a flag and the next option follows.
    const bool hidden = value_of_a_secret && !argument.starts_with("--");
    if (!line.empty()) line += ' ';
    line += shell_quoted(hidden ? std::string(redacted) : redact_argument(argument));
    value_of_a_secret = option && !hidden && argument.find('=') == std::string::npos && names_a_secret(argument);
  }
  return printable(line, longest_value);
}

std::string recorded_command_line(int argc, const char* const* argv) {
  return recorded_command_line(std::vector<std::string>(argv, argv + argc));
}

}  // namespace rackproof

// What a test asks of the fakes beyond working: RACKPROOF_FAKE_FAULTS, a list of
//   slow_rank=RANK:FACTOR      kernels, products and copies of that rank take 1/FACTOR as long
//   ecc@call=N                 the Nth runtime call that can report it, and all after it: cudaErrorECCUncorrectable
//   illegal_address@call=N     the same with cudaErrorIllegalAddress, as of a kernel that went astray
//   fallen_off_the_bus@call=N  the same with cudaErrorUnknown, and NVML loses the GPU
//   system_not_ready           all calls: cudaErrorSystemNotReady, as where no fabric manager runs
//   no_kernel_image            kernels: cudaErrorNoKernelImageForDevice, as of a build for other GPUs
//   out_of_memory              of the memory but 1/8 is gone once a first allocation was made
//   out_of_memory@malloc=N     the Nth allocation fails
//   bit_flip@gemm=N            one bit of the output of the Nth product, and of each after it, is wrong
//   bit_flip_once@gemm=N       of the Nth alone
//   throttle=RANK:WHY          NVML reports the clocks held back: power, thermal, ...
//   row_remap=RANK:WHAT        NVML tells of a row of memory that waits to be replaced (pending) or could not be
//   (failed) die@all_reduce=N           the process is killed in that collective freeze@all_reduce=N        the process
//   is stopped in that collective (SIGSTOP), as on a node that hangs hang@all_reduce=N          that collective never
//   ends; wrong_sum: a reduction's result is wrong hang@split=N               that split of a communicator never
//   returns hang@gemm=N, hang@kernel=N that product or kernel never ends, and what destroys something of the GPU waits
//   for it
// (cudaStreamQuery and cudaEventQuery are not counted: how often they are asked is a matter of speed)
// separated by commas. "@rank=R" may follow any of them: on that rank alone. N counts from 1, on each rank.
#pragma once

#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace rackproof::fake {

struct Fault {
  std::string name;   ///< "slow_rank"
  std::string value;  ///< what follows "=", without the RANK: of those that have one: "0.8", "power"
  std::string where;  ///< what "@" says, rank apart: "call", "gemm", "all_reduce"; empty: always
  long at = 0;        ///< its number, from 1
  int rank = -1;      ///< -1: every rank
};

/// This process among its peers, by what its launcher put into the environment; 0 where there was none.
inline int own_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return std::atoi(value);
  }
  return 0;
}

namespace detail {

inline std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

/// "name=value": both; "name": the value is empty.
inline std::pair<std::string, std::string> name_and_value(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return {text, ""};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

inline long number(const std::string& text, const std::string& of) {
  std::size_t used = 0;
  long value = -1;
  try {
    value = std::stol(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || value < 0) {
    throw std::runtime_error("RACKPROOF_FAKE_FAULTS: '" + text + "' is no number in '" + of + "'");
  }
  return value;
}

inline Fault parse_fault(const std::string& text) {
  const std::vector<std::string> parts = split(text, '@');
  Fault fault;
  std::tie(fault.name, fault.value) = name_and_value(parts.at(0));
  if (fault.name == "slow_rank" || fault.name == "throttle" || fault.name == "row_remap") {
    const std::size_t colon = fault.value.find(':');
    if (colon == std::string::npos) throw std::runtime_error("RACKPROOF_FAKE_FAULTS: no RANK:WHAT in '" + text + "'");
    fault.rank = static_cast<int>(number(fault.value.substr(0, colon), text));
    fault.value.erase(0, colon + 1);
  }
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const auto [name, value] = name_and_value(parts[i]);
    if (name == "rank") {
      fault.rank = static_cast<int>(number(value, text));
    } else {
      fault.where = name;
      fault.at = number(value, text);
    }
  }
  return fault;
}

inline void check_name(const Fault& fault) {
  for (const char* known :
       {"slow_rank", "ecc", "illegal_address", "fallen_off_the_bus", "system_not_ready", "no_kernel_image",
        "out_of_memory", "bit_flip", "bit_flip_once", "throttle", "row_remap", "hang", "die", "freeze", "wrong_sum"}) {
    if (fault.name == known) return;
  }
  throw std::runtime_error("RACKPROOF_FAKE_FAULTS: nobody knows the fault '" + fault.name + "'");
}

}  // namespace detail

/// Throws std::runtime_error for what nobody would act on.
inline std::vector<Fault> parse_faults(std::string_view text) {
  std::vector<Fault> faults;
  for (const std::string& part : detail::split(text, ',')) {
    if (part.empty()) continue;
    faults.push_back(detail::parse_fault(part));
    detail::check_name(faults.back());
  }
  return faults;
}

/// The faults that the environment asks of this rank.
inline std::vector<Fault> own_faults() {
  const char* text = std::getenv("RACKPROOF_FAKE_FAULTS");
  std::vector<Fault> own;
  if (text == nullptr) return own;
  for (Fault& fault : parse_faults(text)) {
    if (fault.rank < 0 || fault.rank == own_rank()) own.push_back(std::move(fault));
  }
  return own;
}

/// The number of the event that the fault is meant for; 0: it is asked for at no such event.
inline long find_number(const std::vector<Fault>& faults, std::string_view name, std::string_view where) {
  for (const Fault& fault : faults) {
    if (fault.name == name && fault.where == where) return fault.at;
  }
  return 0;
}

/// The first fault of that name.
inline std::optional<Fault> find_fault(const std::vector<Fault>& faults, std::string_view name) {
  for (const Fault& fault : faults) {
    if (fault.name == name) return fault;
  }
  return std::nullopt;
}

}  // namespace rackproof::fake

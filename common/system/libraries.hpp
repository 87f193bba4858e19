// The code that really runs: every shared object in this process, by path, build id and version.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace rackproof {

struct LoadedLibrary {
  std::string path;       ///< with links resolved: "/usr/lib/x86_64-linux-gnu/libdnnl.so.2.6"
  std::string requested;  ///< as the loader found it; empty where it is the same
  std::string build_id;   ///< GNU build id in hexadecimal, read from memory; empty where the object has none
  std::string version;    ///< what the library itself answers, else what its file name says; empty where neither does
};

/// Every shared object that is loaded now, sorted by path: call it after the libraries of interest have been used,
/// for some are loaded late (MPI components). The executable and the kernel's vDSO are not among them.
[[nodiscard]] std::vector<LoadedLibrary> loaded_libraries();

/// GNU build id of this executable in hexadecimal; empty where it was linked without one. Equal on ranks that run
/// the same binary.
[[nodiscard]] std::string build_id_of_self();

/// The path of this executable.
[[nodiscard]] std::string path_of_self();

/// The build id in the notes of one PT_NOTE segment (`alignment`: its p_align), in hexadecimal; empty where there is
/// none or the notes are malformed.
[[nodiscard]] std::string build_id_in_notes(std::span<const std::byte> notes, std::size_t alignment);

/// The version in a library's file name: "libhdf5_serial.so.103.3.0" -> "103.3.0", "libopenblasp-r0.3.21.so" ->
/// "0.3.21"; empty where it has none.
[[nodiscard]] std::string version_in_file_name(const std::string& path);

}  // namespace rackproof

#include "common/system/libraries.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <exception>
#include <filesystem>
#include <map>
#include <regex>
#include <string_view>
#include <system_error>

#include "common/core/error.hpp"

namespace rackproof {

namespace {

/// A library's path, with links resolved where that is possible.
std::string real_path(const std::string& path) {
  std::error_code failure;
  const auto resolved = std::filesystem::canonical(path, failure);
  return failure ? path : resolved.string();
}

/// Does a loaded segment hold [address, address + size)? A note that is in no PT_LOAD is not in memory.
bool is_mapped(const dl_phdr_info& object, ElfW(Addr) address, std::size_t size) {
  const std::span<const ElfW(Phdr)> headers(object.dlpi_phdr, object.dlpi_phnum);
  return std::any_of(headers.begin(), headers.end(), [&](const ElfW(Phdr) & header) {
    return header.p_type == PT_LOAD && address >= header.p_vaddr && address + size <= header.p_vaddr + header.p_filesz;
  });
}

std::string build_id_of(const dl_phdr_info& object) {
  for (const ElfW(Phdr) & header : std::span<const ElfW(Phdr)>(object.dlpi_phdr, object.dlpi_phnum)) {
    if (header.p_type != PT_NOTE || !is_mapped(object, header.p_vaddr, header.p_filesz)) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader gives addresses as integers.
    const auto* notes = reinterpret_cast<const std::byte*>(object.dlpi_addr + header.p_vaddr);
    std::string id = build_id_in_notes({notes, header.p_filesz}, header.p_align);
    if (!id.empty()) return id;
  }
  return {};
}

struct LoadedObject {
  std::string name;  ///< empty: the executable
  std::string build_id;
};

std::vector<LoadedObject> loaded_objects() {
  struct Visit {
    std::vector<LoadedObject> objects;
    std::exception_ptr failure;
  } visit;
  dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* data) {
        auto& into = *static_cast<Visit*>(data);
        try {
          into.objects.push_back({object->dlpi_name == nullptr ? "" : object->dlpi_name, build_id_of(*object)});
        } catch (...) {  // must not cross the loader, which is C
          into.failure = std::current_exception();
          return 1;
        }
        return 0;
      },
      &visit);
  if (visit.failure) std::rethrow_exception(visit.failure);
  return std::move(visit.objects);
}

/// A function that a library exports, as a pointer of its type; nullptr where no such library is loaded. By name, so
/// that nothing is linked for the sake of its version, and so that the library that answers is the one that runs.
template <typename Function>
Function* find_function(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

/// The real path of the object that holds a function.
template <typename Function>
std::string home_of(Function* function) {
  Dl_info where{};
  if (dladdr(reinterpret_cast<const void*>(function), &where) == 0 || where.dli_fname == nullptr) return {};
  return real_path(where.dli_fname);
}

/// oneDNN's dnnl_version_t (dnnl_types.h); equal in 2.x and 3.x as far as it is read here.
struct DnnlVersion {
  int major;
  int minor;
  int patch;
};

/// Real path -> what the library says of itself, for those that can be asked.
std::map<std::string, std::string> answered_versions() {
  std::map<std::string, std::string> versions;
  if (auto* ask = find_function<const DnnlVersion*()>("dnnl_version")) {
    const DnnlVersion* version = ask();
    versions[home_of(ask)] = fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
  }
  if (auto* ask = find_function<char*()>("openblas_get_config")) {
    versions[home_of(ask)] = ask();  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH SkylakeX MAX_THREADS=64"
  }
  if (auto* ask = find_function<const char*()>("bli_info_get_version_str")) {
    versions[home_of(ask)] = fmt::format("BLIS {}", ask());
  }
  if (auto* ask = find_function<int(unsigned*, unsigned*, unsigned*)>("H5get_libversion")) {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned release = 0;
    // HDF5 starts up when it is asked for anything, and what cleans it up at exit, which results/hdf5.hpp does without,
    // can only be declined before that.
    if (auto* decline = find_function<int()>("H5dont_atexit")) decline();
    if (ask(&major, &minor, &release) >= 0) versions[home_of(ask)] = fmt::format("{}.{}.{}", major, minor, release);
  }
  // The one MPI function, with MPI_Get_version, that may be called at any time.
  if (auto* ask = find_function<int(char*, int*)>("MPI_Get_library_version")) {
    std::array<char, 8192> text{};  // MPI_MAX_LIBRARY_VERSION_STRING: 256 in Open MPI, 8192 in MPICH
    int length = 0;
    if (ask(text.data(), &length) == 0) {
      // Open MPI: one line, the version before its first comma. MPICH: many lines, "MPICH Version:\t4.0.2" first.
      std::string line(text.data());
      line = line.substr(0, line.find_first_of("\n,"));
      std::replace(line.begin(), line.end(), '\t', ' ');
      versions[home_of(ask)] = line;
    }
  }
  if (auto* ask = find_function<const char*()>("gnu_get_libc_version")) versions[home_of(ask)] = ask();
  return versions;
}

}  // namespace

std::string build_id_in_notes(std::span<const std::byte> notes, std::size_t alignment) {
  // Notes are padded to 4 bytes, or to 8 in a segment that is so aligned (gABI and the x86-64 psABI).
  const std::size_t unit = alignment == 8 ? 8 : 4;
  const auto padded = [unit](std::size_t size) { return (size + unit - 1) / unit * unit; };
  static_assert(sizeof(Elf32_Nhdr) == sizeof(Elf64_Nhdr));
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr header;
    std::memcpy(&header, notes.data(), sizeof header);
    const std::size_t content = padded(sizeof header + header.n_namesz);
    if (content > notes.size() || header.n_descsz > notes.size() - content) return {};
    constexpr std::string_view owner("GNU\0", 4);
    const std::string_view name(reinterpret_cast<const char*>(notes.data()) + sizeof header, header.n_namesz);
    if (header.n_type == NT_GNU_BUILD_ID && name == owner) {
      std::string id;
      for (const std::byte byte : notes.subspan(content, header.n_descsz)) {
        id += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
      }
      return id;
    }
    const std::size_t next = padded(content + header.n_descsz);
    if (next >= notes.size()) return {};
    notes = notes.subspan(next);
  }
  return {};
}

std::string version_in_file_name(const std::string& path) {
  static const std::regex after("\\.so\\.([0-9]+(\\.[0-9]+)*)$");
  static const std::regex before("-r?([0-9]+(\\.[0-9]+)+)\\.so(\\.|$)");
  const std::string name = std::filesystem::path(path).filename().string();
  std::smatch match;
  if (std::regex_search(name, match, before) || std::regex_search(name, match, after)) return match[1];
  return {};
}

std::vector<LoadedLibrary> loaded_libraries() {
  const auto versions = answered_versions();
  std::vector<LoadedLibrary> libraries;
  for (const LoadedObject& object : loaded_objects()) {
    if (object.name.find('/') == std::string::npos) continue;  // the executable, the vDSO
    const std::string path = real_path(object.name);
    const auto version = versions.find(path);
    const std::string text = version == versions.end() ? version_in_file_name(path) : version->second;
    libraries.push_back({printable(path, 4096), path == object.name ? "" : printable(object.name, 4096),
                         object.build_id, printable(text)});
  }
  std::sort(libraries.begin(), libraries.end(),
            [](const LoadedLibrary& a, const LoadedLibrary& b) { return a.path < b.path; });
  return libraries;
}

std::string build_id_of_self() {
  for (const LoadedObject& object : loaded_objects()) {
    if (object.name.empty()) return object.build_id;
  }
  return {};
}

std::string path_of_self() {
  std::error_code failure;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", failure);
  return failure ? std::string() : printable(path.string(), 4096);
}

}  // namespace rackproof

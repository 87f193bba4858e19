#include "results/hdf5.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "common/core/error.hpp"

namespace rackproof::results::hdf5 {
namespace {

#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 11, 0))
#define RACKPROOF_HDF5_LOCKING_PROPERTY
#endif

struct Failure {
  std::string text;
  int os_error = 0;
};

herr_t collect(unsigned /*depth*/, const H5E_error2_t* entry, void* data) {
  auto& failure = *static_cast<Failure*>(data);
  const std::string_view text = entry->desc != nullptr ? entry->desc : "";
  // HDF5's file driver tells of the system's error in its text only: "..., errno = 28, error message = '...', ...".
  static constexpr std::string_view key = "errno = ";
  if (const auto at = text.find(key); at != std::string_view::npos && failure.os_error == 0) {
    std::from_chars(text.data() + at + key.size(), text.data() + text.size(), failure.os_error);
  }
  if (failure.text.empty()) failure.text = text;
  return 0;
}

}  // namespace

void prepare_library() {
  // In this order: H5dont_atexit() is heard only before the library starts up.
  static const bool prepared = [] {
#ifndef RACKPROOF_HDF5_LOCKING_PROPERTY
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
#endif
    H5dont_atexit();
    H5open();
    // A file must not choose what code is run: no filter or driver is loaded from a folder of plug-ins.
    H5PLset_loading_state(0);
    return true;
  }();
  static_cast<void>(prepared);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

void fail(const char* call) {
  Failure failure;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &failure);
  H5Eclear2(H5E_DEFAULT);
  if (failure.os_error != 0) failure.text = std::strerror(failure.os_error);
  if (failure.text.empty()) failure.text = "HDF5 gives no reason";
  throw Error(ExitCode::internal, "hdf5", failure.os_error, call, printable(failure.text, 160));
}

Handle file_access() {
  Handle access = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "H5Pcreate");
  check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), "H5Pset_libver_bounds");
#ifdef RACKPROOF_HDF5_LOCKING_PROPERTY
  check(H5Pset_file_locking(access.get(), false, true), "H5Pset_file_locking");
#endif
  // The pause doubles from attempt to attempt, from 1 ns: some 4 ms in all, against 100 attempts by default.
  check(H5Pset_metadata_read_attempts(access.get(), 22), "H5Pset_metadata_read_attempts");
  return access;
}

void* MemoryFile::resize(void* buffer, std::size_t size, Image& image) {
  void* grown = std::realloc(buffer, size);
  if (grown != nullptr) image.size = size;
  return grown;
}

MemoryFile::MemoryFile(const Handle& creation) {
  const Handle access = file_access();
  check(H5Pset_fapl_core(access.get(), std::size_t{1} << 16, false), "H5Pset_fapl_core");
  H5FD_file_image_callbacks_t callbacks{};
  callbacks.image_malloc = [](std::size_t size, H5FD_file_image_op_t, void* image) {
    return resize(nullptr, size, *static_cast<Image*>(image));
  };
  callbacks.image_memcpy = [](void* to, const void* from, std::size_t size, H5FD_file_image_op_t, void*) {
    return std::memcpy(to, from, size);
  };
  callbacks.image_realloc = [](void* buffer, std::size_t size, H5FD_file_image_op_t, void* image) {
    return resize(buffer, size, *static_cast<Image*>(image));
  };
  callbacks.image_free = [](void* buffer, H5FD_file_image_op_t when, void* data) -> herr_t {
    auto& image = *static_cast<Image*>(data);
    herr_t result = 0;
    if (when == H5FD_FILE_IMAGE_OP_FILE_CLOSE) {
      try {
        const auto* begin = static_cast<const char*>(buffer);
        image.bytes.assign(begin, begin + image.size);
      } catch (const std::exception&) {
        result = -1;  // C code is above us
      }
    }
    std::free(buffer);
    return result;
  };
  callbacks.udata_copy = [](void* image) { return image; };
  callbacks.udata_free = [](void*) -> herr_t { return 0; };
  callbacks.udata = &image_;
  check(H5Pset_file_image_callbacks(access.get(), &callbacks), "H5Pset_file_image_callbacks");
  file_ = own(H5Fcreate("rackproof-in-memory.h5", H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose, "H5Fcreate");
}

std::vector<char> MemoryFile::close() {
  check(H5Fclose(file_.release()), "H5Fclose");
  return std::move(image_.bytes);
}

Handle text_type() {
  Handle type = own(H5Tcopy(H5T_C_S1), H5Tclose, "H5Tcopy");
  check(H5Tset_size(type.get(), H5T_VARIABLE), "H5Tset_size");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "H5Tset_cset");
  return type;
}

Handle character_type() {
  Handle type = own(H5Tcopy(H5T_C_S1), H5Tclose, "H5Tcopy");
  check(H5Tset_size(type.get(), 1), "H5Tset_size");
  // With the default, NUL-terminated, the one byte would always be the NUL.
  check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "H5Tset_strpad");
  return type;
}

}  // namespace rackproof::results::hdf5

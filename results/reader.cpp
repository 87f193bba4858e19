#include "results/reader.hpp"

#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/time_bounds.hpp"
#include "results/hdf5.hpp"
#include "results/part_file.hpp"
#include "results/placements.hpp"
#include "results/rank_times.hpp"
#include "results/text_heap.hpp"

namespace rackproof::results {
namespace {

using hdf5::check;
using hdf5::Handle;
using hdf5::own;

// Bounds on what a file may ask for. Far above what a run writes, and low enough for a login node.
constexpr std::size_t max_text_bytes = std::size_t{256} << 20;  ///< all text of a file together
constexpr std::size_t max_links = 4096;                         ///< of one group
constexpr std::size_t max_suites = 256;
constexpr std::size_t max_table = std::size_t{16} << 20;  ///< parameters or figures x cases of a suite
constexpr hsize_t max_readable_chunk_bytes = hsize_t{256} << 20;
constexpr std::int64_t block_bytes = std::int64_t{8} << 20;
constexpr std::size_t max_block_values = std::size_t{1} << 27;

/// Opens what a hard link of `group` leads to. Soft and external links are refused: they would let a file reach
/// outside of itself.
Handle open_object(hid_t group, const std::string& name, H5I_type_t wanted, std::string_view path) {
  const htri_t present = H5Lexists(group, name.c_str(), H5P_DEFAULT);
  if (present <= 0) throw damage(fmt::format("it has no {}{}", path, name));
  H5L_info_t info{};
  check(H5Lget_info(group, name.c_str(), &info, H5P_DEFAULT), "H5Lget_info");
  if (info.type != H5L_TYPE_HARD) throw damage(fmt::format("{}{} is a link to elsewhere", path, printable(name)));
  Handle object = own(H5Oopen(group, name.c_str(), H5P_DEFAULT), H5Oclose, "H5Oopen");
  if (H5Iget_type(object.get()) != wanted) {
    throw damage(fmt::format("{}{} is no {}", path, printable(name), wanted == H5I_GROUP ? "group" : "dataset"));
  }
  return object;
}

/// The names in a group, as they were created where the file knows, else sorted.
std::vector<std::string> links(hid_t group, std::string_view path) {
  H5G_info_t info{};
  check(H5Gget_info(group, &info), "H5Gget_info");
  if (info.nlinks > max_links) throw damage(fmt::format("{} has {} members", path, info.nlinks));
  std::vector<std::string> names;
  H5_index_t index = H5_INDEX_CRT_ORDER;
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    const auto get = [&](char* buffer, std::size_t size) {
      return H5Lget_name_by_idx(group, ".", index, H5_ITER_INC, i, buffer, size, H5P_DEFAULT);
    };
    ssize_t length = get(nullptr, 0);
    if (length < 0 && i == 0) {
      index = H5_INDEX_NAME;
      length = get(nullptr, 0);
    }
    check(length, "H5Lget_name_by_idx");
    if (length > 4096) throw damage(fmt::format("{} has a member with a name of {} bytes", path, length));
    std::string name(static_cast<std::size_t>(length) + 1, '\0');
    check(get(name.data(), name.size()), "H5Lget_name_by_idx");
    name.pop_back();
    names.push_back(std::move(name));
  }
  return names;
}

enum class Kind { integer, real, text, character, other };

Kind kind_of(hid_t type) {
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      return H5Tget_size(type) <= 8 ? Kind::integer : Kind::other;
    case H5T_FLOAT:
      return H5Tget_size(type) <= 8 ? Kind::real : Kind::other;
    case H5T_STRING:
      if (H5Tis_variable_str(type) > 0) return Kind::text;
      return H5Tget_size(type) == 1 ? Kind::character : Kind::other;
    default:
      return Kind::other;
  }
}

/// A dataset that has been looked at: stored in this file, in chunks that fit into memory, by filters that we know.
struct Dataset {
  Handle handle;
  std::string path;
  std::vector<hsize_t> extents;
  Kind kind = Kind::other;

  Dataset(hid_t group, const std::string& name, const std::string& folder)
      : handle(open_object(group, name, H5I_DATASET, folder)), path(folder + printable(name)) {
    check_layout();  // first: to ask a virtual dataset for its shape opens the files that it is made of
    const Handle space = own(H5Dget_space(handle.get()), H5Sclose, "H5Dget_space");
    const int rank = H5Sget_simple_extent_ndims(space.get());
    if (rank < 0 || rank > 3 || H5Sget_simple_extent_type(space.get()) == H5S_NULL) {
      throw damage(fmt::format("{} has a shape of its own", path));
    }
    extents.resize(static_cast<std::size_t>(rank));
    check(H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr), "H5Sget_simple_extent_dims");
    const Handle type = own(H5Dget_type(handle.get()), H5Tclose, "H5Dget_type");
    kind = kind_of(type.get());
    check_storage(H5Tget_size(type.get()));
  }

  void expect(Kind wanted, const std::vector<hsize_t>& shape) const {
    if (kind != wanted) throw damage(fmt::format("{} has the wrong type", path));
    if (extents != shape) {
      throw damage(
          fmt::format("{} has the shape ({}), not ({})", path, fmt::join(extents, ", "), fmt::join(shape, ", ")));
    }
  }
  /// Length of a scale, within [1, high].
  [[nodiscard]] std::size_t length(Kind wanted, std::int64_t high) const {
    if (kind != wanted) throw damage(fmt::format("{} has the wrong type", path));
    if (extents.size() != 1 || extents[0] < 1 || extents[0] > static_cast<hsize_t>(high)) {
      throw damage(
          fmt::format("{} has the shape ({}), not one dimension of 1 to {}", path, fmt::join(extents, ", "), high));
    }
    return static_cast<std::size_t>(extents[0]);
  }

  template <typename T>
  [[nodiscard]] std::vector<T> read(hid_t memory_type) const {
    std::vector<T> values(count());
    check(H5Dread(handle.get(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), "H5Dread");
    return values;
  }

  template <typename T>
  [[nodiscard]] std::vector<T> read_part(hid_t memory_type, std::span<const hsize_t> start,
                                         std::span<const hsize_t> shape) const {
    hsize_t size = 1;
    for (const hsize_t extent : shape) size *= extent;
    std::vector<T> values(size);
    if (size == 0) return values;
    const Handle file_space = own(H5Dget_space(handle.get()), H5Sclose, "H5Dget_space");
    check(H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, start.data(), nullptr, shape.data(), nullptr),
          "H5Sselect_hyperslab");
    const Handle memory_space =
        own(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose, "H5Screate_simple");
    check(H5Dread(handle.get(), memory_type, memory_space.get(), file_space.get(), H5P_DEFAULT, values.data()),
          "H5Dread");
    return values;
  }

  [[nodiscard]] std::vector<std::string> read_texts(const TextHeap& heap, std::size_t& budget) const {
    const haddr_t address = H5Dget_offset(handle.get());
    if (address == HADDR_UNDEF || H5Dget_storage_size(handle.get()) != count() * 16) {
      throw damage(fmt::format("{} is stored in a way that is not ours", path));
    }
    return heap.read(address, count(), budget);
  }

 private:
  [[nodiscard]] std::size_t count() const {
    hsize_t size = 1;
    for (const hsize_t extent : extents) size *= extent;  // extents have been checked by expect() or length()
    return static_cast<std::size_t>(size);
  }

  void check_layout() const {
    const Handle creation = own(H5Dget_create_plist(handle.get()), H5Pclose, "H5Dget_create_plist");
    const H5D_layout_t layout = H5Pget_layout(creation.get());
    if ((layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED) ||
        H5Pget_external_count(creation.get()) != 0) {
      throw damage(fmt::format("{} is stored elsewhere", path));
    }
  }

  void check_storage(std::size_t element) const {
    const Handle creation = own(H5Dget_create_plist(handle.get()), H5Pclose, "H5Dget_create_plist");
    if (H5Pget_layout(creation.get()) == H5D_CHUNKED) {
      std::array<hsize_t, 3> chunk{1, 1, 1};
      check(H5Pget_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data()), "H5Pget_chunk");
      hsize_t bytes = element;
      for (const hsize_t extent : chunk) {
        if (extent == 0 || extent > max_readable_chunk_bytes || (bytes *= extent) > max_readable_chunk_bytes) {
          throw damage(fmt::format("{} is stored in chunks of absurd size", path));
        }
      }
    }
    // Any other filter may load a plug-in; and what is packed over and over may grow a thousandfold each time.
    const int filters = check(H5Pget_nfilters(creation.get()), "H5Pget_nfilters");
    std::array<H5Z_filter_t, 3> used{};
    if (filters > static_cast<int>(used.size())) throw damage(fmt::format("{} is packed by {} filters", path, filters));
    for (int i = 0; i < filters; ++i) {
      unsigned flags = 0;
      std::size_t values = 0;
      const H5Z_filter_t filter =
          H5Pget_filter2(creation.get(), static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, nullptr);
      if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32) {
        throw damage(fmt::format("{} is packed by a filter that is not ours ({})", path, filter));
      }
      if (std::find(used.begin(), used.end(), filter) != used.end()) {
        throw damage(fmt::format("{} is packed by the same filter more than once", path));
      }
      used.at(static_cast<std::size_t>(i)) = filter;
    }
  }
};

/// Opens an attribute of one value. `where` is for the message.
Handle open_attribute(hid_t object, const char* name, std::string_view where) {
  if (H5Aexists(object, name) <= 0) throw damage(fmt::format("{} has no attribute '{}'", where, name));
  Handle attribute = own(H5Aopen(object, name, H5P_DEFAULT), H5Aclose, "H5Aopen");
  const Handle space = own(H5Aget_space(attribute.get()), H5Sclose, "H5Aget_space");
  if (H5Sget_simple_extent_npoints(space.get()) != 1) {
    throw damage(fmt::format("attribute '{}' of {} is no single value", name, where));
  }
  return attribute;
}

std::string text_attribute(hid_t object, const char* name, std::string_view where) {
  const Handle attribute = open_attribute(object, name, where);
  const Handle type = own(H5Aget_type(attribute.get()), H5Tclose, "H5Aget_type");
  if (H5Tget_class(type.get()) != H5T_STRING) {
    throw damage(fmt::format("attribute '{}' of {} is no text", name, where));
  }
  if (H5Tis_variable_str(type.get()) > 0) {
    char* pointer = nullptr;
    const Handle memory_type = hdf5::text_type();
    check(H5Aread(attribute.get(), memory_type.get(), &pointer), "H5Aread");
    std::string text = pointer != nullptr ? pointer : "";
    H5free_memory(pointer);
    return text;
  }
  const std::size_t size = H5Tget_size(type.get());
  if (size > 65536) throw damage(fmt::format("attribute '{}' of {} is too long", name, where));
  std::string text(size, '\0');
  check(H5Aread(attribute.get(), type.get(), text.data()), "H5Aread");
  return text.substr(0, text.find('\0'));
}

std::int64_t integer_attribute(hid_t object, const char* name, std::string_view where) {
  const Handle attribute = open_attribute(object, name, where);
  const Handle type = own(H5Aget_type(attribute.get()), H5Tclose, "H5Aget_type");
  if (kind_of(type.get()) != Kind::integer) {
    throw damage(fmt::format("attribute '{}' of {} is no whole number", name, where));
  }
  std::int64_t value = 0;
  check(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), "H5Aread");
  return value;
}

/// One byte of the file each: the text up to the padding.
std::string text_of(std::span<const char> bytes) {
  const auto end = std::find(bytes.begin(), bytes.end(), '\0');
  return {bytes.begin(), end};
}

/// The names that the attribute flag_meanings gives to the bits in flag_masks.
std::vector<std::pair<std::uint32_t, std::string>> bits_of(const Dataset& dataset) {
  std::vector<std::pair<std::uint32_t, std::string>> bits;
  if (H5Aexists(dataset.handle.get(), schema::flag_masks) <= 0) return bits;
  const Handle attribute = own(H5Aopen(dataset.handle.get(), schema::flag_masks, H5P_DEFAULT), H5Aclose, "H5Aopen");
  const Handle space = own(H5Aget_space(attribute.get()), H5Sclose, "H5Aget_space");
  const Handle type = own(H5Aget_type(attribute.get()), H5Tclose, "H5Aget_type");
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  if (count < 1 || count > 32 || kind_of(type.get()) != Kind::integer) {
    throw damage(fmt::format("attribute '{}' of {} is no list of masks", schema::flag_masks, dataset.path));
  }
  std::vector<std::uint32_t> masks(static_cast<std::size_t>(count));
  check(H5Aread(attribute.get(), H5T_NATIVE_UINT32, masks.data()), "H5Aread");
  std::istringstream meanings(text_attribute(dataset.handle.get(), schema::flag_meanings, dataset.path));
  for (const std::uint32_t mask : masks) {
    std::string meaning;
    if (!(meanings >> meaning)) throw damage(fmt::format("{} has masks without a meaning", dataset.path));
    bits.emplace_back(mask, printable(meaning));
  }
  return bits;
}

/// Refuses samples that cannot be times, in which no case can be judged: what they are is for the message.
template <typename Who>
void check_times(std::span<const double> times, Who&& who) {
  const auto bad = std::find_if_not(times.begin(), times.end(), is_time);
  if (bad == times.end()) return;
  throw damage(fmt::format("{}: sample {} of {} is {:.6g} s, which is no time that anything takes", who(),
                           bad - times.begin() + 1, times.size(), *bad));
}

/// A text a case, of those that have run or were skipped.
void read_texts(const Handle& group, const std::string& folder, const char* name, std::vector<CaseOutcome>& results,
                std::string CaseOutcome::*text) {
  const Dataset texts(group.get(), name, folder);
  if (texts.extents.size() != 2 || texts.extents[1] > 65536) {
    throw damage(fmt::format("{} has a shape of its own", texts.path));
  }
  const hsize_t length = texts.extents[1];
  texts.expect(Kind::character, {results.size(), length});
  const Handle character = hdf5::character_type();
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].status == Status::not_run) continue;
    const std::array<hsize_t, 2> start{i, 0};
    const std::array<hsize_t, 2> shape{1, length};
    try {
      results[i].*text = printable(text_of(texts.read_part<char>(character.get(), start, shape)), 4096);
    } catch (const Error&) {
      // Of a file that was cut off: no reason to give up the numbers, nor the other cases.
      results[i].*text = fmt::format("(the {} in the file is damaged)", name);
    }
  }
}

}  // namespace

struct ResultFile::State {
  std::filesystem::path path;
  Handle file;
  bool unfinished = false;
  RunHeader header;
  std::vector<std::vector<CaseOutcome>> outcomes;
  std::optional<TextHeap> text_heap;
  std::size_t text_budget = max_text_bytes;
  std::size_t planned_cases = 0;
  Placements placements;
  std::optional<std::size_t> narrowed;

  void open();
  void read_root();
  void read_ranks(const Handle& root);
  void read_provenance(const Handle& root);
  void read_suite(const Handle& suites, const std::string& name);
  void read_telemetry(const Handle& root);
  void read_parameters(const Handle& group, const std::string& folder, SuiteHeader& suite);
  void read_figures(const Handle& group, const std::string& folder, SuiteHeader& suite);
  void check_samples(const Handle& group, const std::string& folder, hsize_t cases) const;
  [[nodiscard]] std::string folder_of(std::size_t suite, std::size_t which) const;
  /// Throws where a counted sample is no time.
  void check_rows(std::size_t suite, std::size_t which, const RankTimes& times) const;
  /// A row of times of a case, without the NaN at its end; empty where the file has no such dataset.
  [[nodiscard]] std::vector<double> row_of(std::size_t suite, std::size_t which, const char* name,
                                           std::int64_t columns) const;
  /// Runs `work`, which reads; puts the file's name to what goes wrong there.
  template <typename Work>
  auto guarded(Work&& work) const;
};

template <typename Work>
auto ResultFile::State::guarded(Work&& work) const {
  try {
    return work();
  } catch (const Error& error) {
    if (error.domain() == "hdf5") {
      throw usage_error(fmt::format("{}: is damaged or truncated: {} ({})", quoted(path), error.what(), error.call()));
    }
    if (error.domain() == "result file") {
      throw usage_error(fmt::format("{}: is no sound result file: {}", quoted(path), error.what()));
    }
    throw;
  } catch (const std::bad_alloc&) {
    throw usage_error(fmt::format("{}: is damaged: it asks for more memory than there is", quoted(path)));
  }
}

void ResultFile::State::open() {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    throw usage_error(fmt::format("{}: there is no such file", quoted(path)));
  }
  if (!std::filesystem::is_regular_file(status)) {
    throw usage_error(fmt::format("{}: is no regular file", quoted(path)));
  }
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (!error && size == 0) throw usage_error(fmt::format("{}: is empty", quoted(path)));
  const Handle access = hdf5::file_access();
  hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get());
  if (id < 0) {
    std::string reason;
    int os_error = 0;
    try {
      hdf5::fail("H5Fopen");
    } catch (const Error& failure) {
      reason = failure.what();
      os_error = failure.code();
    }
    if (os_error != 0) throw usage_error(fmt::format("{}: cannot be read: {}", quoted(path), reason));
    // While it is written, and after its writer died, a file can be opened in this way only.
    id = H5Fopen(path.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access.get());
    unfinished = id >= 0;
    if (id < 0) {
      if (died_at_birth(path)) {
        throw usage_error(fmt::format("{}: its run broke off before the first case", quoted(path)));
      }
      const bool hdf5 = H5Fis_hdf5(path.c_str()) > 0;
      throw usage_error(hdf5 ? fmt::format("{}: is damaged or truncated: {}", quoted(path), reason)
                             : fmt::format("{}: is no result file of rackproof: not in the HDF5 format", quoted(path)));
    }
  }
  file = Handle(id, H5Fclose);
  const Handle creation = own(H5Fget_create_plist(file.get()), H5Pclose, "H5Fget_create_plist");
  std::size_t address_bytes = 0;
  std::size_t size_bytes = 0;
  hsize_t user_block = 0;
  check(H5Pget_sizes(creation.get(), &address_bytes, &size_bytes), "H5Pget_sizes");
  check(H5Pget_userblock(creation.get(), &user_block), "H5Pget_userblock");
  if (address_bytes != 8 || size_bytes != 8 || user_block != 0) {
    throw usage_error(fmt::format("{}: is no result file of rackproof, though in the HDF5 format", quoted(path)));
  }
  text_heap.emplace(path);
}

void ResultFile::State::read_root() {
  const Handle root = own(H5Gopen2(file.get(), "/", H5P_DEFAULT), H5Gclose, "H5Gopen2");
  if (H5Aexists(root.get(), schema::schema_name) <= 0 ||
      text_attribute(root.get(), schema::schema_name, "/") != schema::name) {
    throw usage_error(fmt::format("{}: is no result file of rackproof, though in the HDF5 format", quoted(path)));
  }
  const std::int64_t version = integer_attribute(root.get(), schema::schema_version, "/");
  header.software_version = printable(text_attribute(root.get(), schema::software_version, "/"));
  if (version > schema::version) {
    throw usage_error(
        fmt::format("{}: has schema version {}, and this rackproof reads up to {}; read it with "
                    "rackproof {} or later",
                    quoted(path), version, schema::version, header.software_version));
  }
  if (version < 1) throw damage(fmt::format("its schema version is {}", version));
  header.software = printable(text_attribute(root.get(), schema::software, "/"));
  header.date = printable(text_attribute(root.get(), schema::date, "/"));
  header.run_id = printable(text_attribute(root.get(), schema::run_id, "/"));
  header.device_fake = integer_attribute(root.get(), schema::device_fake, "/") != 0;
  header.recovered = integer_attribute(root.get(), schema::recovered, "/") != 0;
  read_ranks(root);
  read_provenance(root);
  placements = placements_of(header);
  const Handle suites = open_object(root.get(), schema::suites, H5I_GROUP, "/");
  const std::vector<std::string> names = links(suites.get(), "/suites");
  if (names.empty() || names.size() > max_suites) throw damage(fmt::format("it has {} suites", names.size()));
  for (const std::string& name : names) read_suite(suites, name);
  // Of later versions: a file may be without.
  if (H5Lexists(root.get(), schema::telemetry, H5P_DEFAULT) > 0) read_telemetry(root);
}

void ResultFile::State::read_telemetry(const Handle& root) {
  const std::string folder = fmt::format("/{}/", schema::telemetry);
  const Handle group = open_object(root.get(), schema::telemetry, H5I_GROUP, "/");
  const hsize_t ticks = Dataset(group.get(), schema::tick, folder).length(Kind::integer, schema::max_telemetry_ticks);
  const hsize_t ranks = header.ranks.size();
  const auto expect = [&](const char* name, Kind kind, const std::vector<hsize_t>& shape) {
    Dataset(group.get(), name, folder).expect(kind, shape);
  };
  expect(schema::telemetry_time, Kind::real, {ranks, ticks});
  expect(schema::telemetry_ticks, Kind::integer, {ranks});
  expect(schema::telemetry_readings, Kind::integer, {ranks});
  expect(schema::telemetry_cost, Kind::real, {ranks});
  header.telemetry_ticks = static_cast<int>(ticks);
  for (const std::string& link : links(group.get(), folder)) {
    const Dataset dataset(group.get(), link, folder);
    if (H5Aexists(dataset.handle.get(), schema::telemetry_kind) <= 0) continue;
    TelemetryColumn column;
    column.name = printable(link);
    column.kind = printable(text_attribute(dataset.handle.get(), schema::telemetry_kind, dataset.path));
    column.long_name = printable(text_attribute(dataset.handle.get(), schema::long_name, dataset.path));
    if (H5Aexists(dataset.handle.get(), schema::units) > 0) {
      column.unit = printable(text_attribute(dataset.handle.get(), schema::units, dataset.path));
    }
    if (column.kind == "bits") column.bits = bits_of(dataset);
    dataset.expect(column.kind == "bits" ? Kind::integer : Kind::real, {ranks, ticks});
    header.telemetry.push_back(std::move(column));
  }
}

void ResultFile::State::read_ranks(const Handle& root) {
  const std::size_t ranks = Dataset(root.get(), schema::rank, "/").length(Kind::integer, schema::max_ranks);
  header.ranks.resize(ranks);
  const auto texts = [&](const char* name, std::string RankHeader::*member) {
    const Dataset dataset(root.get(), name, "/");
    dataset.expect(Kind::text, {ranks});
    const std::vector<std::string> values = dataset.read_texts(*text_heap, text_budget);
    for (std::size_t r = 0; r < ranks; ++r) header.ranks[r].*member = printable(values[r]);
  };
  const auto numbers = [&](const char* name, int RankHeader::*member) {
    const Dataset dataset(root.get(), name, "/");
    dataset.expect(Kind::integer, {ranks});
    const std::vector<int> values = dataset.read<int>(H5T_NATIVE_INT);
    for (std::size_t r = 0; r < ranks; ++r) header.ranks[r].*member = values[r];
  };
  texts(schema::hostname, &RankHeader::hostname);
  texts(schema::device_id, &RankHeader::device_id);
  texts(schema::device_name, &RankHeader::device_name);
  texts(schema::serial, &RankHeader::serial);
  // Of later versions: a file may be without.
  if (H5Lexists(root.get(), schema::uuid, H5P_DEFAULT) > 0) texts(schema::uuid, &RankHeader::uuid);
  numbers(schema::node_index, &RankHeader::node_index);
  numbers(schema::local_rank, &RankHeader::local_rank);
}

void ResultFile::State::read_provenance(const Handle& root) {
  const Handle group = open_object(root.get(), schema::provenance, H5I_GROUP, "/");
  for (const std::string& name : links(group.get(), "/provenance")) {
    const Dataset dataset(group.get(), name, "/provenance/");
    dataset.expect(Kind::text, {});
    header.provenance[name] = dataset.read_texts(*text_heap, text_budget).front();
  }
}

void ResultFile::State::read_suite(const Handle& suites, const std::string& name) {
  const Handle group = open_object(suites.get(), name, H5I_GROUP, "/suites/");
  const std::string folder = fmt::format("/suites/{}/", printable(name));
  const Dataset case_column(group.get(), schema::case_name, folder);
  const std::size_t cases = case_column.length(Kind::text, schema::max_cases);
  if ((planned_cases += cases) > static_cast<std::size_t>(schema::max_cases)) throw damage("it has too many cases");
  const std::size_t samples = Dataset(group.get(), schema::sample, folder).length(Kind::integer, schema::max_samples);
  if (header.max_samples != 0 && static_cast<std::size_t>(header.max_samples) != samples) {
    throw damage(fmt::format("{}sample has another length than in the suites before", folder));
  }
  header.max_samples = static_cast<int>(samples);

  SuiteHeader suite;
  suite.name = printable(name);
  suite.cases.resize(cases);
  std::vector<CaseOutcome> results(cases);
  {
    const std::vector<std::string> names = case_column.read_texts(*text_heap, text_budget);
    for (std::size_t i = 0; i < cases; ++i) suite.cases[i].name = printable(names[i], 4096);
  }
  const auto column = [&]<typename T>(const char* dataset_name, Kind kind, hid_t type, T /*of this type*/) {
    const Dataset dataset(group.get(), dataset_name, folder);
    dataset.expect(kind, {cases});
    return dataset.read<T>(type);
  };
  // The status first: in a file that is being written, what stands behind a status was there before it.
  const auto statuses = column(schema::status, Kind::integer, H5T_NATIVE_INT, 0);
  const auto stop_reasons = column(schema::stop_reason, Kind::integer, H5T_NATIVE_INT, 0);
  const auto warmup_steps = column(schema::warmup_steps, Kind::integer, H5T_NATIVE_INT, 0);
  // Of later versions: a file may be without.
  const auto operations = H5Lexists(group.get(), schema::operations, H5P_DEFAULT) > 0
                              ? column(schema::operations, Kind::integer, H5T_NATIVE_INT, 0)
                              : std::vector<int>(cases, 1);
  const auto timers = H5Lexists(group.get(), schema::timer, H5P_DEFAULT) > 0
                          ? column(schema::timer, Kind::integer, H5T_NATIVE_INT, 0)
                          : std::vector<int>(cases, 0);
  const auto launches = H5Lexists(group.get(), schema::launch, H5P_DEFAULT) > 0
                            ? column(schema::launch, Kind::integer, H5T_NATIVE_INT, 0)
                            : std::vector<int>(cases, 0);
  const auto clock_errors = column(schema::clock_error, Kind::real, H5T_NATIVE_DOUBLE, 0.0);
  const auto optional_times = [&](const char* dataset_name) {
    return H5Lexists(group.get(), dataset_name, H5P_DEFAULT) > 0
               ? column(dataset_name, Kind::real, H5T_NATIVE_DOUBLE, 0.0)
               : std::vector<double>(cases, std::numeric_limits<double>::quiet_NaN());
  };
  const auto clock_errors_before = optional_times(schema::clock_error_before);
  const auto clock_errors_after = optional_times(schema::clock_error_after);
  const auto flop = column(schema::flop, Kind::real, H5T_NATIVE_DOUBLE, 0.0);
  const auto bytes = column(schema::bytes, Kind::real, H5T_NATIVE_DOUBLE, 0.0);
  const auto tokens = column(schema::tokens, Kind::real, H5T_NATIVE_DOUBLE, 0.0);
  const auto message_sizes = column(schema::message_size, Kind::integer, H5T_NATIVE_INT64, std::int64_t{0});
  const auto collective = column(schema::collective, Kind::integer, H5T_NATIVE_INT, 0);
  for (std::size_t i = 0; i < cases; ++i) {
    if (statuses[i] < 0 || statuses[i] > static_cast<int>(Status::error)) {
      throw damage(fmt::format("{}status has the value {}", folder, statuses[i]));
    }
    if (stop_reasons[i] < -1 || stop_reasons[i] > static_cast<int>(StopReason::certain)) {
      throw damage(fmt::format("{}stop_reason has the value {}", folder, stop_reasons[i]));
    }
    results[i].status = static_cast<Status>(statuses[i]);
    results[i].stop_reason = static_cast<StopReason>(stop_reasons[i]);
    if (timers[i] != 0 && timers[i] != 1) throw damage(fmt::format("{}timer has the value {}", folder, timers[i]));
    results[i].timer = static_cast<Timer>(timers[i]);
    if (launches[i] < -1 || launches[i] >= static_cast<int>(placements.of_launch.size())) {
      throw damage(fmt::format("{}launch has the value {}", folder, launches[i]));
    }
    results[i].launch = results[i].status == Status::not_run ? -1 : launches[i];
    results[i].warmup_steps = warmup_steps[i];
    if (operations[i] < 1) throw damage(fmt::format("{}operations has the value {}", folder, operations[i]));
    results[i].operations = operations[i];
    results[i].clock_error = clock_errors[i];
    results[i].clock_error_before = clock_errors_before[i];
    results[i].clock_error_after = clock_errors_after[i];
    suite.cases[i].flop = flop[i];
    suite.cases[i].bytes = bytes[i];
    suite.cases[i].tokens = tokens[i];
    suite.cases[i].message_size = message_sizes[i];
    suite.cases[i].collective = collective[i] != 0;
  }
  check_samples(group, folder, cases);
  suite.pairs = H5Lexists(group.get(), schema::partner, H5P_DEFAULT) > 0;
  if (suite.pairs) {
    Dataset(group.get(), schema::partner, folder).expect(Kind::integer, {cases, header.ranks.size()});
  }

  read_texts(group, folder, schema::message, results, &CaseOutcome::message);
  // Files of earlier versions have none.
  if (H5Lexists(group.get(), schema::implementation, H5P_DEFAULT) > 0) {
    read_texts(group, folder, schema::implementation, results, &CaseOutcome::implementation);
  }
  for (std::size_t i = 0; i < cases; ++i) {
    if (results[i].status != Status::skipped) continue;
    suite.cases[i].skip_reason = results[i].message.empty() ? "no reason given" : results[i].message;
  }
  read_parameters(group, folder, suite);
  read_figures(group, folder, suite);
  header.suites.push_back(std::move(suite));
  outcomes.push_back(std::move(results));
}

void ResultFile::State::check_samples(const Handle& group, const std::string& folder, hsize_t cases) const {
  const hsize_t ranks = header.ranks.size();
  const auto samples = static_cast<hsize_t>(header.max_samples);
  const auto expect = [&](const char* name, Kind kind, const std::vector<hsize_t>& shape) {
    Dataset(group.get(), name, folder).expect(kind, shape);
  };
  expect(schema::time, Kind::real, {cases, ranks, samples});
  expect(schema::begin, Kind::real, {cases, ranks, samples});
  expect(schema::flags, Kind::integer, {cases, ranks, samples});
  expect(schema::figure_time, Kind::real, {cases, samples});
  expect(schema::samples, Kind::integer, {cases, ranks});
  expect(schema::verify_error, Kind::real, {cases, ranks});
  expect(schema::digest, Kind::integer, {cases, ranks});
}

void ResultFile::State::read_parameters(const Handle& group, const std::string& folder, SuiteHeader& suite) {
  const std::size_t cases = suite.cases.size();
  std::size_t values = 0;
  for (const std::string& link : links(group.get(), folder)) {
    if (link == schema::figures) continue;
    const Dataset dataset(group.get(), link, folder);
    if (H5Aexists(dataset.handle.get(), schema::parameter) <= 0) continue;
    if ((values += cases) > max_table) throw damage(fmt::format("{} has too many parameters", folder));
    const std::string name = printable(text_attribute(dataset.handle.get(), schema::parameter, dataset.path));
    dataset.expect(dataset.kind, {cases});
    if (dataset.kind == Kind::integer) {
      const bool some_absent = H5Aexists(dataset.handle.get(), schema::fill_value) > 0;
      const std::int64_t absent =
          some_absent ? integer_attribute(dataset.handle.get(), schema::fill_value, dataset.path) : 0;
      const std::vector<std::int64_t> column = dataset.read<std::int64_t>(H5T_NATIVE_INT64);
      for (std::size_t i = 0; i < cases; ++i) {
        if (!some_absent || column[i] != absent) suite.cases[i].parameters.set(name, column[i]);
      }
    } else if (dataset.kind == Kind::real) {
      const std::vector<double> column = dataset.read<double>(H5T_NATIVE_DOUBLE);
      for (std::size_t i = 0; i < cases; ++i) {
        if (column[i] == column[i]) suite.cases[i].parameters.set(name, column[i]);
      }
    } else if (dataset.kind == Kind::text) {
      const std::vector<std::string> column = dataset.read_texts(*text_heap, text_budget);
      for (std::size_t i = 0; i < cases; ++i) {
        if (!column[i].empty()) suite.cases[i].parameters.set(name, printable(column[i], 4096));
      }
    } else {
      throw damage(fmt::format("{} has the wrong type", dataset.path));
    }
  }
}

void ResultFile::State::read_figures(const Handle& group, const std::string& folder, SuiteHeader& suite) {
  const Handle figures = open_object(group.get(), schema::figures, H5I_GROUP, folder);
  const std::string path_of_figures = folder + schema::figures + "/";
  std::size_t values = 0;
  for (const std::string& link : links(figures.get(), path_of_figures)) {
    const Dataset dataset(figures.get(), link, path_of_figures);
    if ((values += suite.cases.size()) > max_table) throw damage(fmt::format("{} has too many figures", folder));
    dataset.expect(Kind::real, {suite.cases.size()});
    FigureHeader figure;
    figure.name = printable(link);
    figure.unit = printable(text_attribute(dataset.handle.get(), schema::units, dataset.path));
    const std::string kind = text_attribute(dataset.handle.get(), schema::kind, dataset.path);
    if (kind != "rate" && kind != "time") {
      throw damage(fmt::format("{} is of the kind '{}'", dataset.path, printable(kind)));
    }
    figure.kind = kind == "rate" ? FigureHeader::Kind::rate : FigureHeader::Kind::time;
    const std::vector<double> amounts = dataset.read<double>(H5T_NATIVE_DOUBLE);
    for (std::size_t i = 0; i < amounts.size(); ++i) {
      figure.amount = amounts[i];
      if (amounts[i] == amounts[i]) suite.cases[i].figures.push_back(figure);
    }
  }
}

std::string ResultFile::State::folder_of(std::size_t suite, std::size_t which) const {
  if (suite >= header.suites.size() || which >= header.suites[suite].cases.size()) {
    throw Error(ExitCode::internal, "results", 0, "", fmt::format("no case {} of suite {} in this file", which, suite));
  }
  return fmt::format("/{}/{}", schema::suites, header.suites[suite].name);
}

ResultFile::ResultFile(std::filesystem::path path) : state_(std::make_unique<State>()) {
  hdf5::prepare_library();
  state_->path = std::move(path);
  state_->guarded([&] {
    state_->open();
    state_->read_root();
  });
}

ResultFile::ResultFile(ResultFile&&) noexcept = default;
ResultFile& ResultFile::operator=(ResultFile&&) noexcept = default;
ResultFile::~ResultFile() = default;

const std::filesystem::path& ResultFile::path() const { return state_->path; }
const RunHeader& ResultFile::header() const { return state_->header; }
bool ResultFile::unfinished() const { return state_->unfinished; }

const CaseOutcome& ResultFile::outcome(std::size_t suite, std::size_t which) const {
  static_cast<void>(state_->folder_of(suite, which));
  return state_->outcomes[suite][which];
}

std::size_t ResultFile::placements() const { return state_->placements.ranks.size(); }

std::size_t ResultFile::placement_of(std::size_t suite, std::size_t which) const {
  const std::vector<std::size_t>& of_launch = state_->placements.of_launch;
  const int launch = outcome(suite, which).launch;
  return launch < 0 ? of_launch.back() : of_launch.at(static_cast<std::size_t>(launch));
}

const std::vector<RankHeader>& ResultFile::ranks_of(std::size_t suite, std::size_t which) const {
  return state_->narrowed ? header().ranks : state_->placements.ranks.at(placement_of(suite, which));
}

void ResultFile::narrow_to(std::size_t placement) {
  State& state = *state_;
  state.header.ranks = state.placements.ranks.at(placement);
  for (std::size_t s = 0; s < state.outcomes.size(); ++s) {
    for (std::size_t c = 0; c < state.outcomes[s].size(); ++c) {
      if (placement_of(s, c) == placement) continue;
      const int launch = state.outcomes[s][c].launch;
      state.outcomes[s][c] = {};
      state.outcomes[s][c].launch = launch;
      if (launch >= 0) state.outcomes[s][c].message = "measured on other hosts";
    }
  }
  state.narrowed = placement;
}

std::optional<std::size_t> ResultFile::narrowed_to() const { return state_->narrowed; }

std::vector<ResultFile> open_by_placement(std::span<const std::filesystem::path> paths) {
  std::vector<ResultFile> files;
  for (const std::filesystem::path& path : paths) {
    files.emplace_back(path);
    const std::size_t placements = files.back().placements();
    for (std::size_t p = 0; placements > 1 && p < placements; ++p) {
      if (p > 0) files.emplace_back(path);
      files.back().narrow_to(p);
    }
  }
  return files;
}

RankBlock ResultFile::block(std::size_t suite, std::size_t which, int first_rank, int ranks) const {
  return read_block(suite, which, first_rank, ranks, true);
}

RankBlock ResultFile::checks(std::size_t suite, std::size_t which, int first_rank, int ranks) const {
  return read_block(suite, which, first_rank, ranks, false);
}

RankBlock ResultFile::read_block(std::size_t suite, std::size_t which, int first_rank, int ranks, bool whole) const {
  const std::string folder = state_->folder_of(suite, which);
  if (first_rank < 0 || ranks < 0 ||
      static_cast<std::size_t>(first_rank) + static_cast<std::size_t>(ranks) > state_->header.ranks.size()) {
    throw Error(ExitCode::internal, "results", 0, "", fmt::format("no ranks {} + {} in this file", first_rank, ranks));
  }
  return state_->guarded([&] {
    const Handle group = own(H5Gopen2(state_->file.get(), folder.c_str(), H5P_DEFAULT), H5Gclose, "H5Gopen2");
    const std::string prefix = folder + "/";
    RankBlock block;
    block.first_rank = first_rank;
    const std::array<hsize_t, 3> start{which, static_cast<hsize_t>(first_rank), 0};
    std::array<hsize_t, 3> shape{1, static_cast<hsize_t>(ranks), 0};
    const auto start_row = std::span<const hsize_t>(start).first<2>();
    const auto shape_row = std::span<const hsize_t>(shape).first<2>();
    block.samples =
        Dataset(group.get(), schema::samples, prefix).read_part<std::int32_t>(H5T_NATIVE_INT32, start_row, shape_row);
    for (const std::int32_t n : block.samples) {
      if (n < 0 || n > state_->header.max_samples) throw damage(fmt::format("{}samples has the value {}", prefix, n));
      block.columns = std::max(block.columns, n);
    }
    if (block.samples.size() * static_cast<std::size_t>(block.columns) > max_block_values) {
      throw Error(ExitCode::internal, "results", 0, "", "more ranks asked for at once than ranks_per_block()");
    }
    shape[2] = static_cast<hsize_t>(block.columns);
    if (whole) {
      block.time = Dataset(group.get(), schema::time, prefix).read_part<double>(H5T_NATIVE_DOUBLE, start, shape);
      state_->check_rows(suite, which, {first_rank, block.columns, block.samples, block.time});
      block.begin = Dataset(group.get(), schema::begin, prefix).read_part<double>(H5T_NATIVE_DOUBLE, start, shape);
    }
    block.flags = Dataset(group.get(), schema::flags, prefix).read_part<std::uint8_t>(H5T_NATIVE_UINT8, start, shape);
    const auto disturbance = [&]<typename T>(const char* name, hid_t type, std::vector<T>& column) {
      if (whole && H5Lexists(group.get(), name, H5P_DEFAULT) > 0) {
        column = Dataset(group.get(), name, prefix).read_part<T>(type, start, shape);
      }
    };
    disturbance(schema::host_time, H5T_NATIVE_DOUBLE, block.host_time);
    disturbance(schema::switches, H5T_NATIVE_UINT16, block.switches);
    disturbance(schema::probe, H5T_NATIVE_FLOAT, block.probe);
    disturbance(schema::steal, H5T_NATIVE_FLOAT, block.steal);
    block.verify_error =
        Dataset(group.get(), schema::verify_error, prefix).read_part<double>(H5T_NATIVE_DOUBLE, start_row, shape_row);
    block.digest =
        Dataset(group.get(), schema::digest, prefix).read_part<std::uint64_t>(H5T_NATIVE_UINT64, start_row, shape_row);
    if (state_->header.suites[suite].pairs) {
      block.partner =
          Dataset(group.get(), schema::partner, prefix).read_part<std::int32_t>(H5T_NATIVE_INT32, start_row, shape_row);
      for (const std::int32_t partner : block.partner) {
        if (partner < -1 || partner >= static_cast<std::int32_t>(state_->header.ranks.size())) {
          throw damage(fmt::format("{}partner has the value {}", prefix, partner));
        }
      }
    }
    // What was not recorded is all NaN; nothing that was recorded is.
    for (auto* times : {&block.begin, &block.host_time}) {
      if (std::all_of(times->begin(), times->end(), [](double value) { return value != value; })) times->clear();
    }
    return block;
  });
}

std::vector<double> ResultFile::verify_errors(std::size_t suite, std::size_t which) const {
  const std::string folder = state_->folder_of(suite, which);
  return state_->guarded([&] {
    const Handle group = own(H5Gopen2(state_->file.get(), folder.c_str(), H5P_DEFAULT), H5Gclose, "H5Gopen2");
    const std::array<hsize_t, 2> start{which, 0};
    const std::array<hsize_t, 2> shape{1, state_->header.ranks.size()};
    return Dataset(group.get(), schema::verify_error, folder + "/").read_part<double>(H5T_NATIVE_DOUBLE, start, shape);
  });
}

void ResultFile::for_each_times(std::size_t suite, std::size_t which, const UseTimes& use) const {
  const std::string folder = state_->folder_of(suite, which);
  state_->guarded([&] {
    const Handle group = own(H5Gopen2(state_->file.get(), folder.c_str(), H5P_DEFAULT), H5Gclose, "H5Gopen2");
    const std::string prefix = folder + "/";
    const auto ranks = static_cast<int>(state_->header.ranks.size());
    const std::array<hsize_t, 2> row{which, 0};
    const std::array<hsize_t, 2> row_shape{1, static_cast<hsize_t>(ranks)};
    const auto samples =
        Dataset(group.get(), schema::samples, prefix).read_part<std::int32_t>(H5T_NATIVE_INT32, row, row_shape);
    for (const std::int32_t n : samples) {
      if (n < 0 || n > state_->header.max_samples) throw damage(fmt::format("{}samples has the value {}", prefix, n));
    }
    const UseTimes use_checked = [&](const RankTimes& times) {
      state_->check_rows(suite, which, times);
      use(times);
    };
    const Dataset time(group.get(), schema::time, prefix);
    const auto plain = [&](int first, int count, int columns) {
      const std::array<hsize_t, 3> start{which, static_cast<hsize_t>(first), 0};
      const std::array<hsize_t, 3> shape{1, static_cast<hsize_t>(count), static_cast<hsize_t>(columns)};
      return time.read_part<double>(H5T_NATIVE_DOUBLE, start, shape);
    };
    if (read_times_by_chunk(time.handle.get(), which, samples, use_checked, plain)) return;
    const int step = ranks_per_block();
    for (int first = 0; first < ranks; first += step) {
      RankTimes times;
      times.first_rank = first;
      times.samples = std::span<const std::int32_t>(samples).subspan(
          static_cast<std::size_t>(first), static_cast<std::size_t>(std::min(step, ranks - first)));
      times.columns = *std::max_element(times.samples.begin(), times.samples.end());
      const std::vector<double> values = plain(first, static_cast<int>(times.samples.size()), times.columns);
      times.time = values;
      use_checked(times);
    }
  });
}

TelemetryBlock ResultFile::telemetry(int first_rank, int ranks) const {
  TelemetryBlock block;
  block.first_rank = first_rank;
  const RunHeader& header = state_->header;
  if (first_rank < 0 || ranks < 0 ||
      static_cast<std::size_t>(first_rank) + static_cast<std::size_t>(ranks) > header.ranks.size()) {
    throw Error(ExitCode::internal, "results", 0, "", fmt::format("no ranks {} + {} in this file", first_rank, ranks));
  }
  if (header.telemetry.empty()) return block;
  return state_->guarded([&] {
    const std::string folder = fmt::format("/{}/", schema::telemetry);
    const Handle group = own(H5Gopen2(state_->file.get(), folder.c_str(), H5P_DEFAULT), H5Gclose, "H5Gopen2");
    const std::array<hsize_t, 2> start{static_cast<hsize_t>(first_rank), 0};
    std::array<hsize_t, 2> shape{static_cast<hsize_t>(ranks), 0};
    const auto by_rank = [&]<typename T>(const char* name, hid_t type, std::vector<T>& values) {
      values = Dataset(group.get(), name, folder)
                   .read_part<T>(type, std::span<const hsize_t>(start).first<1>(),
                                 std::span<const hsize_t>(shape).first<1>());
    };
    by_rank(schema::telemetry_ticks, H5T_NATIVE_INT32, block.ticks);
    by_rank(schema::telemetry_readings, H5T_NATIVE_INT32, block.readings);
    by_rank(schema::telemetry_cost, H5T_NATIVE_DOUBLE, block.cost);
    for (const std::int32_t n : block.ticks) {
      if (n < 0 || n > header.telemetry_ticks) throw damage(fmt::format("{}ticks has the value {}", folder, n));
      block.columns = std::max(block.columns, n);
    }
    shape[1] = static_cast<hsize_t>(block.columns);
    block.time =
        Dataset(group.get(), schema::telemetry_time, folder).read_part<double>(H5T_NATIVE_DOUBLE, start, shape);
    for (const TelemetryColumn& column : header.telemetry) {
      block.values.push_back(
          Dataset(group.get(), column.name, folder).read_part<float>(H5T_NATIVE_FLOAT, start, shape));
    }
    return block;
  });
}

std::vector<double> ResultFile::State::row_of(std::size_t suite, std::size_t which, const char* name,
                                              std::int64_t columns) const {
  const std::string folder = folder_of(suite, which);
  return guarded([&] {
    const Handle group = own(H5Gopen2(file.get(), folder.c_str(), H5P_DEFAULT), H5Gclose, "H5Gopen2");
    std::vector<double> values;
    if (H5Lexists(group.get(), name, H5P_DEFAULT) <= 0) return values;
    const std::array<hsize_t, 2> start{which, 0};
    const std::array<hsize_t, 2> shape{1, static_cast<hsize_t>(columns)};
    values = Dataset(group.get(), name, folder + "/").read_part<double>(H5T_NATIVE_DOUBLE, start, shape);
    while (!values.empty() && values.back() != values.back()) values.pop_back();
    if (name == std::string_view(schema::figure_time)) {
      check_times(values, [&] { return fmt::format("case '{}': {}", header.suites[suite].cases[which].name, name); });
    }
    return values;
  });
}

void ResultFile::State::check_rows(std::size_t suite, std::size_t which, const RankTimes& times) const {
  for (std::size_t row = 0; row < times.samples.size(); ++row) {
    check_times(times.of(row), [&] {
      return fmt::format("case '{}': time of rank {}", header.suites[suite].cases[which].name,
                         static_cast<std::size_t>(times.first_rank) + row);
    });
  }
}

std::vector<double> ResultFile::figure_time(std::size_t suite, std::size_t which) const {
  return state_->row_of(suite, which, schema::figure_time, state_->header.max_samples);
}

std::vector<double> ResultFile::warmup_time(std::size_t suite, std::size_t which) const {
  return state_->row_of(suite, which, schema::warmup_time, schema::warmup_length);
}

int ResultFile::ranks_per_block() const {
  const std::int64_t row_bytes = std::int64_t{state_->header.max_samples} * static_cast<std::int64_t>(sizeof(double));
  const auto ranks = static_cast<std::int64_t>(state_->header.ranks.size());
  return static_cast<int>(std::clamp<std::int64_t>(block_bytes / row_bytes, 1, std::min<std::int64_t>(ranks, 1024)));
}

}  // namespace rackproof::results

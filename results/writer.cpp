#include "results/writer.hpp"

#include <fmt/format.h>
#include <hdf5_hl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "common/core/error.hpp"
#include "results/hdf5.hpp"
#include "results/part_file.hpp"
#include "results/reader.hpp"
#include "results/sample_chunks.hpp"

namespace rackproof::results {
namespace {

using hdf5::check;
using hdf5::Handle;
using hdf5::own;

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
/// Of a parameter that a case lacks, where the others of its suite have whole numbers.
constexpr std::int64_t no_integer = std::numeric_limits<std::int64_t>::min();
/// What one block of ranks may have of times.
constexpr std::int64_t max_block_bytes = std::int64_t{8} << 20;
constexpr std::int64_t max_chunk_ranks = 1024;
/// A chunk is compressed and written as one, whole. Few samples of room for many must not cost what many would, and
/// chunks of a few samples would be too many.
constexpr std::int64_t wanted_chunk_values = std::int64_t{1} << 17;
constexpr std::int64_t min_chunk_samples = 128;
/// Of a block: from here on the disk is told to begin at once.
constexpr std::size_t bytes_worth_starting = std::size_t{256} << 10;

Error header_error(const std::string& what) {
  return {ExitCode::internal, "results", 0, "", "the header of a result file makes no sense: " + what};
}

/// Valid UTF-8 of one or several lines; what is not becomes '?'.
std::string clean_text(std::string_view text) {
  std::string out;
  for (;;) {
    const std::size_t end = text.find_first_of("\n\t");
    out += printable(text.substr(0, end), std::numeric_limits<std::size_t>::max());
    if (end == std::string_view::npos) return out;
    out += text[end];
    text.remove_prefix(end + 1);
  }
}

bool is_plain_name(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 200 && std::all_of(name.begin(), name.end(), plain);
}

bool is_column_name(std::string_view name) {
  static constexpr std::array names{schema::case_name,
                                    schema::sample,
                                    schema::character,
                                    schema::time,
                                    schema::begin,
                                    schema::flags,
                                    schema::figure_time,
                                    schema::samples,
                                    schema::verify_error,
                                    schema::digest,
                                    schema::status,
                                    schema::launch,
                                    schema::stop_reason,
                                    schema::warmup_steps,
                                    schema::clock_error,
                                    schema::flop,
                                    schema::bytes,
                                    schema::tokens,
                                    schema::message_size,
                                    schema::collective,
                                    schema::message,
                                    schema::implementation,
                                    schema::rank,
                                    schema::figures,
                                    schema::switches,
                                    schema::probe,
                                    schema::steal,
                                    schema::operations,
                                    schema::warmup,
                                    schema::warmup_time,
                                    schema::partner,
                                    schema::host_time,
                                    schema::timer,
                                    schema::clock_error_after,
                                    schema::clock_error_before};
  return std::find(names.begin(), names.end(), name) != names.end();
}

void check_header(const RunHeader& header) {
  const auto within = [](std::int64_t value, std::int64_t high) { return value >= 1 && value <= high; };
  if (!within(static_cast<std::int64_t>(header.ranks.size()), schema::max_ranks)) throw header_error("no ranks");
  if (!within(header.max_samples, schema::max_samples)) throw header_error("max_samples");
  if (header.suites.empty()) throw header_error("no suites");
  std::set<std::string_view> suites;
  std::size_t cases = 0;
  for (const SuiteHeader& suite : header.suites) {
    if (!is_plain_name(suite.name) || !suites.insert(suite.name).second) {
      throw header_error(fmt::format("suite name '{}'", printable(suite.name)));
    }
    if (suite.cases.empty()) throw header_error(fmt::format("suite '{}' has no cases", suite.name));
    cases += suite.cases.size();
    std::set<std::string_view> names;
    for (const CaseHeader& which : suite.cases) {
      if (which.name.empty() || !names.insert(which.name).second) {
        throw header_error(fmt::format("case name '{}'", printable(which.name)));
      }
    }
  }
  if (!within(static_cast<std::int64_t>(cases), schema::max_cases)) throw header_error("too many cases");
  std::set<std::string_view> quantities{schema::tick, schema::telemetry_time, schema::telemetry_ticks,
                                        schema::telemetry_readings, schema::telemetry_cost};
  for (const TelemetryColumn& column : header.telemetry) {
    if (!is_plain_name(column.name) || !quantities.insert(column.name).second) {
      throw header_error(fmt::format("telemetry '{}'", printable(column.name)));
    }
  }
  if (!header.telemetry.empty() && !within(header.telemetry_ticks, schema::max_telemetry_ticks)) {
    throw header_error("telemetry_ticks");
  }
  for (const auto& [key, text] : header.provenance) {
    if (!is_plain_name(key)) throw header_error(fmt::format("provenance key '{}'", printable(key)));
  }
}

// ---- attributes, datasets, scales ----

void set_text_attribute(hid_t object, const char* name, std::string_view value) {
  const Handle space = own(H5Screate(H5S_SCALAR), H5Sclose, "H5Screate");
  const Handle type = hdf5::text_type();
  const Handle attribute =
      own(H5Acreate2(object, name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "H5Acreate2");
  const std::string text = printable(value, 4096);  // attributes above 64 KB fail
  const char* pointer = text.c_str();
  check(H5Awrite(attribute.get(), type.get(), &pointer), "H5Awrite");
}

template <typename T>
void set_number_attribute(hid_t object, const char* name, hid_t file_type, hid_t memory_type, std::span<const T> values,
                          bool scalar) {
  const hsize_t size = values.size();
  const Handle space = own(scalar ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &size, nullptr), H5Sclose, "H5Screate");
  const Handle attribute =
      own(H5Acreate2(object, name, file_type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "H5Acreate2");
  check(H5Awrite(attribute.get(), memory_type, values.data()), "H5Awrite");
}

void set_integer_attribute(hid_t object, const char* name, std::int64_t value, hid_t file_type = H5T_STD_I64LE) {
  set_number_attribute<std::int64_t>(object, name, file_type, H5T_NATIVE_INT64, std::span(&value, 1), true);
}

/// One dimension of a dataset: its length and the dataset that is its scale.
struct Dimension {
  hsize_t length;
  hid_t scale;  ///< negative: the dataset is the scale itself
};

struct Fill {
  hid_t type;
  const void* value;
};
constexpr Fill zero_fill{H5I_INVALID_HID, nullptr};
/// A function, for H5T_NATIVE_DOUBLE starts the library up, which must not happen before main().
Fill fill_nan() { return {H5T_NATIVE_DOUBLE, &not_a_number}; }

/// Creates a dataset. Without a chunk it is contiguous and gets its space at once, so that a later write neither
/// allocates nor touches metadata. With one, a dimension may grow, though it never does: HDF5 then indexes the
/// chunks by an extensible array, in blocks that stay below a page for the first 2000 chunks or more. The index of a
/// fixed dimension is one block with one checksum, and a kill between two of its pages would cost every case.
/// `growing` is the dimension that counts slowest in that array.
Handle create(hid_t group, const char* name, hid_t type, std::span<const Dimension> dimensions, const Fill& fill,
              std::span<const hsize_t> chunk = {}, std::size_t growing = 0) {
  std::vector<hsize_t> extents;
  for (const Dimension& dimension : dimensions) extents.push_back(dimension.length);
  std::vector<hsize_t> limits = extents;
  if (!chunk.empty()) limits[growing] = H5S_UNLIMITED;
  const Handle space =
      own(extents.empty() ? H5Screate(H5S_SCALAR)
                          : H5Screate_simple(static_cast<int>(extents.size()), extents.data(), limits.data()),
          H5Sclose, "H5Screate_simple");
  const Handle creation = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "H5Pcreate");
  if (!chunk.empty()) {
    check(H5Pset_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data()), "H5Pset_chunk");
    check(H5Pset_shuffle(creation.get()), "H5Pset_shuffle");
    check(H5Pset_deflate(creation.get(), 1), "H5Pset_deflate");
  } else {
    check(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), "H5Pset_alloc_time");
  }
  // Without this, HDF5 leaves what happens to be there in a dataset whose fill value is the default.
  check(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_ALLOC), "H5Pset_fill_time");
  if (fill.value != nullptr) check(H5Pset_fill_value(creation.get(), fill.type, fill.value), "H5Pset_fill_value");
  Handle dataset =
      own(H5Dcreate2(group, name, type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), H5Dclose, "H5Dcreate2");
  for (std::size_t i = 0; i < dimensions.size(); ++i) {
    if (dimensions[i].scale >= 0) {
      check(H5DSattach_scale(dataset.get(), dimensions[i].scale, static_cast<unsigned>(i)), "H5DSattach_scale");
    }
  }
  return dataset;
}

void describe(const Handle& dataset, std::string_view long_name, std::string_view units = {}) {
  set_text_attribute(dataset.get(), schema::long_name, long_name);
  if (!units.empty()) set_text_attribute(dataset.get(), schema::units, units);
}

template <typename T>
void write_all(const Handle& dataset, hid_t memory_type, const std::vector<T>& values) {
  check(H5Dwrite(dataset.get(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), "H5Dwrite");
}

void write_texts(const Handle& dataset, const std::vector<std::string>& texts) {
  const Handle type = hdf5::text_type();
  std::vector<const char*> pointers;
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  write_all(dataset, type.get(), pointers);
}

Handle create_group(hid_t parent, const char* name) {
  // In the order of creation, so that a reader sees parameters and figures in the order that the suite gave.
  const Handle creation = own(H5Pcreate(H5P_GROUP_CREATE), H5Pclose, "H5Pcreate");
  check(H5Pset_link_creation_order(creation.get(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED),
        "H5Pset_link_creation_order");
  return own(H5Gcreate2(parent, name, H5P_DEFAULT, creation.get(), H5P_DEFAULT), H5Gclose, "H5Gcreate2");
}

/// Writes `values` at [start, start + count) of a dataset.
template <typename T>
void write_part(hid_t file, const std::string& name, hid_t memory_type, std::span<const hsize_t> start,
                std::span<const hsize_t> count, const T* values) {
  // No Handle: to close a dataset that a full disk has kept from being flushed leaves HDF5 1.10 with dangling pointers,
  // so after a failure it stays open to the end of the process.
  const hid_t dataset = check(H5Dopen2(file, name.c_str(), H5P_DEFAULT), "H5Dopen2");
  const Handle file_space = own(H5Dget_space(dataset), H5Sclose, "H5Dget_space");
  check(H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
        "H5Sselect_hyperslab");
  const Handle memory_space =
      own(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr), H5Sclose, "H5Screate_simple");
  check(H5Dwrite(dataset, memory_type, memory_space.get(), file_space.get(), H5P_DEFAULT, values), "H5Dwrite");
  // A chunk is compressed and written when its dataset is flushed; a full disk must be seen here, not when closing.
  check(H5Dflush(dataset), "H5Dflush");
  check(H5Dclose(dataset), "H5Dclose");
}

template <typename T>
void write_one(hid_t file, const std::string& name, hid_t memory_type, std::size_t which, T value) {
  const std::array<hsize_t, 1> start{which};
  const std::array<hsize_t, 1> count{1};
  write_part(file, name, memory_type, start, count, &value);
}

/// Rank-major values with what lies behind a rank's own count replaced by `padding`.
template <typename T>
std::vector<T> padded(const std::vector<T>& values, const RankBlock& block, T padding) {
  std::vector<T> out = values;
  for (int r = 0; r < block.ranks(); ++r) {
    const auto row = out.begin() + static_cast<std::ptrdiff_t>(r) * block.columns;
    std::fill(row + block.samples[static_cast<std::size_t>(r)], row + block.columns, padding);
  }
  return out;
}

std::vector<char> message_bytes(std::string_view message) {
  // printable() may end up to three bytes and an ellipsis behind its limit.
  std::string text = printable(message, static_cast<std::size_t>(schema::message_length) - 7);
  text.resize(static_cast<std::size_t>(schema::message_length), '\0');
  return {text.begin(), text.end()};
}

}  // namespace

struct Writer::State {
  std::filesystem::path path;
  std::filesystem::path part;
  WriterOptions options;
  std::vector<std::string> notices;
  std::filesystem::path moved_aside;
  std::optional<LockedFile> lock;
  Handle file;
  std::size_t ranks = 0;
  std::size_t max_samples = 0;
  int launch = 0;
  hsize_t chunk_ranks = 0;
  hsize_t chunk_samples = 0;
  std::unique_ptr<SamplePacker> packer;
  struct Suite {
    std::string folder;  ///< with a slash at its end
    std::size_t cases;
    bool pairs;
    std::vector<bool> touched{};  ///< cases x blocks of chunk_ranks: samples have been written there
  };
  std::vector<Suite> suites;
  std::vector<TelemetryColumn> telemetry;
  std::size_t telemetry_ticks = 0;
  std::set<std::pair<std::size_t, std::size_t>> finished;
  bool spent = false;  ///< a write has failed

  /// Into which a case's ranks are cut.
  [[nodiscard]] std::size_t blocks() const { return (ranks + chunk_ranks - 1) / chunk_ranks; }
  void take_place();
  /// The file as it is before the first case, made in memory, where no disk can be full.
  [[nodiscard]] std::vector<char> structure(const RunHeader& header);
  void write_suite(hid_t parent, const SuiteHeader& suite, const Handle& rank_scale);
  void write_telemetry_structure(hid_t parent, const RunHeader& header, const Handle& rank_scale);
  void write_parameters(const Handle& group, const SuiteHeader& suite, const Dimension& cases);
  void write_figures(const Handle& group, const SuiteHeader& suite, const Dimension& cases);
  [[nodiscard]] Suite& suite_of(std::size_t suite, std::size_t which);
  /// The columns (C,R,S) of a block.
  void write_samples(Suite& suite, std::size_t which, const RankBlock& block);
  /// Returns how many bytes went to the disk.
  std::size_t write_chunks(const std::string& folder, std::size_t which, const RankBlock& block, bool with_empty) const;
  void write_part_of_chunks(const std::string& folder, std::size_t which, const RankBlock& block) const;
  /// Runs `work`, which writes; where that fails, gives the file up and throws what the user is to be told.
  template <typename Work>
  void guarded(Work&& work);
  [[noreturn]] void give_up(const std::string& reason);
  /// Leaves the file as it is. Removes it where nothing in it is worth keeping.
  void close_part() noexcept;
};

Writer::Writer(std::filesystem::path path, const RunHeader& header, const WriterOptions& options)
    : state_(std::make_unique<State>()) {
  check_header(header);
  hdf5::prepare_library();
  State& state = *state_;
  state.path = std::move(path);
  state.part = state.path;
  state.part += options.suffix;
  state.options = options;
  state.ranks = header.ranks.size();
  state.max_samples = static_cast<std::size_t>(header.max_samples);
  state.launch = header.launch;
  const std::int64_t row_bytes = std::int64_t{header.max_samples} * static_cast<std::int64_t>(sizeof(double));
  state.chunk_ranks = static_cast<hsize_t>(std::clamp<std::int64_t>(
      max_block_bytes / row_bytes, 1, std::min(max_chunk_ranks, static_cast<std::int64_t>(state.ranks))));
  state.chunk_samples = static_cast<hsize_t>(
      std::clamp<std::int64_t>(wanted_chunk_values / static_cast<std::int64_t>(state.chunk_ranks),
                               std::min<std::int64_t>(min_chunk_samples, header.max_samples), header.max_samples));
  state.packer = std::make_unique<SamplePacker>(ChunkShape{state.chunk_ranks, state.chunk_samples});
  state.take_place();
  state.guarded([&] {
    const std::vector<char> image = state.structure(header);
    if (const int error = state.lock->store(image); error != 0) state.give_up(os_message(error));
    // From here on HDF5 writes in an order in which what is on the disk can be read at any moment.
    const Handle access = hdf5::file_access();
    state.file = own(H5Fopen(state.part.c_str(), H5F_ACC_RDWR | H5F_ACC_SWMR_WRITE, access.get()), H5Fclose, "H5Fopen");
  });
}

Writer::~Writer() {
  if (state_ != nullptr) abandon();
}

const std::vector<std::string>& Writer::notices() const { return state_->notices; }
const std::filesystem::path& Writer::moved_aside() const { return state_->moved_aside; }
int Writer::ranks_per_block() const { return static_cast<int>(state_->chunk_ranks); }
const std::filesystem::path& Writer::path() const { return state_->path; }
const std::filesystem::path& Writer::part_path() const { return state_->part; }
std::size_t Writer::finished_cases() const { return state_->finished.size(); }

void Writer::State::take_place() {
  std::error_code ignored;
  if (path.filename().empty() || std::filesystem::is_directory(path, ignored)) {
    throw usage_error(fmt::format("{}: is a folder; give the name of a file in it", quoted(path)));
  }
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (!std::filesystem::is_directory(folder, ignored)) {
    throw usage_error(
        fmt::format("{}: the folder {} does not exist; create it, or write elsewhere", quoted(path), quoted(folder)));
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw usage_error(fmt::format("{}: the folder {} is not writable: {}; write elsewhere", quoted(path),
                                  quoted(folder), os_message(errno)));
  }
  if (!options.force && std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
    throw usage_error(fmt::format("{}: exists already; give another name, or --force to replace it", quoted(path)));
  }
  lock.emplace(part, LockedFile::Access::write);
  if (lock->size() == 0 || options.discard_leftover || died_at_birth(part)) return;
  std::size_t kept = 0;
  bool readable = true;
  try {
    const ResultFile leftover(part);
    for (std::size_t s = 0; s < leftover.header().suites.size(); ++s) {
      for (std::size_t c = 0; c < leftover.header().suites[s].cases.size(); ++c) {
        kept += is_finished(leftover.outcome(s, c).status) ? 1U : 0U;
      }
    }
  } catch (const Error&) {
    readable = false;  // damaged, or not ours: not for us to throw away
  }
  if (readable && kept == 0) return;
  for (int i = 1;; ++i) {
    std::filesystem::path aside = part;
    aside += fmt::format(".{}", i);
    const int error = rename_file(part, aside, false);
    if (error == EEXIST && i < 10000) continue;
    if (error != 0) {
      throw usage_error(fmt::format("{}: is in the way and cannot be moved to {}: {}; move it, or give another name",
                                    quoted(part), quoted(aside), os_message(error)));
    }
    moved_aside = aside;
    notices.push_back(readable ? fmt::format("{}: an earlier run broke off after {} finished case{}; moved to {} "
                                             "('rackproof recover' makes a result file of it)",
                                             quoted(part), kept, kept == 1 ? "" : "s", quoted(aside))
                               : fmt::format("{}: was in the way and is no readable result file; moved to {}",
                                             quoted(part), quoted(aside)));
    break;
  }
  lock.emplace(part, LockedFile::Access::write);
}

std::vector<char> Writer::State::structure(const RunHeader& header) {
  const Handle creation = own(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "H5Pcreate");
  check(H5Pset_link_creation_order(creation.get(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED),
        "H5Pset_link_creation_order");
  // What is shorter than a page of the file (4 KiB) then lies within one, and a kill cannot tear the write of it.
  check(H5Pset_file_space_strategy(creation.get(), H5F_FSPACE_STRATEGY_PAGE, false, 1), "H5Pset_file_space_strategy");
  hdf5::MemoryFile memory(creation);
  {
    const Handle root = own(H5Gopen2(memory.get(), "/", H5P_DEFAULT), H5Gclose, "H5Gopen2");
    set_text_attribute(root.get(), schema::schema_name, schema::name);
    set_integer_attribute(root.get(), schema::schema_version, schema::version);
    set_text_attribute(root.get(), schema::software, header.software);
    set_text_attribute(root.get(), schema::software_version, header.software_version);
    set_text_attribute(root.get(), schema::date, header.date);
    set_text_attribute(root.get(), schema::run_id, header.run_id);
    set_integer_attribute(root.get(), schema::device_fake, header.device_fake ? 1 : 0, H5T_STD_I8LE);
    set_integer_attribute(root.get(), schema::recovered, header.recovered ? 1 : 0, H5T_STD_I8LE);

    const Dimension self{ranks, H5I_INVALID_HID};
    const Handle scale = create(root.get(), schema::rank, H5T_STD_I32LE, std::span(&self, 1), zero_fill);
    check(H5DSset_scale(scale.get(), schema::rank), "H5DSset_scale");
    std::vector<std::int32_t> numbers(ranks);
    std::iota(numbers.begin(), numbers.end(), 0);
    write_all(scale, H5T_NATIVE_INT32, numbers);

    const Dimension by_rank{ranks, scale.get()};
    const Handle text = hdf5::text_type();
    const auto text_column = [&](const char* name, std::string RankHeader::*member, const char* long_name) {
      const Handle dataset = create(root.get(), name, text.get(), std::span(&by_rank, 1), zero_fill);
      describe(dataset, long_name);
      std::vector<std::string> texts;
      for (const RankHeader& rank : header.ranks) texts.push_back(printable(rank.*member, 4096));
      write_texts(dataset, texts);
    };
    const auto number_column = [&](const char* name, int RankHeader::*member, const char* long_name) {
      const Handle dataset = create(root.get(), name, H5T_STD_I32LE, std::span(&by_rank, 1), zero_fill);
      describe(dataset, long_name);
      for (std::size_t r = 0; r < ranks; ++r) numbers[r] = header.ranks[r].*member;
      write_all(dataset, H5T_NATIVE_INT32, numbers);
    };
    text_column(schema::hostname, &RankHeader::hostname, "name of the node");
    text_column(schema::device_id, &RankHeader::device_id, "which device of the node");
    text_column(schema::device_name, &RankHeader::device_name, "model of the device");
    text_column(schema::serial, &RankHeader::serial, "serial number of the device, or of the node");
    text_column(schema::uuid, &RankHeader::uuid, "UUID of the device; empty: it has none");
    number_column(schema::node_index, &RankHeader::node_index, "nodes numbered by their lowest rank");
    number_column(schema::local_rank, &RankHeader::local_rank, "rank within its node");

    const Handle provenance = create_group(root.get(), schema::provenance);
    for (const auto& [key, value] : header.provenance) {
      const Handle dataset = create(provenance.get(), key.c_str(), text.get(), {}, zero_fill);
      write_texts(dataset, {clean_text(value)});
    }
    const Handle groups = create_group(root.get(), schema::suites);
    for (const SuiteHeader& suite : header.suites) {
      write_suite(groups.get(), suite, scale);
      suites.push_back({fmt::format("/{}/{}/", schema::suites, suite.name), suite.cases.size(), suite.pairs});
      suites.back().touched.resize(suite.cases.size() * blocks());
    }
    if (!header.telemetry.empty()) write_telemetry_structure(root.get(), header, scale);
  }
  return memory.close();
}

void Writer::State::write_suite(hid_t parent, const SuiteHeader& suite, const Handle& rank_scale) {
  const Handle group = create_group(parent, suite.name.c_str());
  const Handle text = hdf5::text_type();
  const hsize_t count = suite.cases.size();

  const Dimension case_self{count, H5I_INVALID_HID};
  const Handle case_scale = create(group.get(), schema::case_name, text.get(), std::span(&case_self, 1), zero_fill);
  check(H5DSset_scale(case_scale.get(), schema::case_name), "H5DSset_scale");
  std::vector<std::string> names;
  for (const CaseHeader& which : suite.cases) names.push_back(printable(which.name, 4096));
  write_texts(case_scale, names);

  const Dimension sample_self{max_samples, H5I_INVALID_HID};
  const Handle sample_scale = create(group.get(), schema::sample, H5T_STD_I32LE, std::span(&sample_self, 1), zero_fill);
  check(H5DSset_scale(sample_scale.get(), schema::sample), "H5DSset_scale");
  std::vector<std::int32_t> positions(max_samples);
  std::iota(positions.begin(), positions.end(), 0);
  write_all(sample_scale, H5T_NATIVE_INT32, positions);

  // A dimension without a variable, in the way that netCDF-4 writes one: with a variable of that name, xarray would
  // not join the characters of a message.
  const Dimension character_self{static_cast<hsize_t>(schema::message_length), H5I_INVALID_HID};
  const Handle character_scale =
      create(group.get(), schema::character, H5T_IEEE_F32BE, std::span(&character_self, 1), zero_fill);
  check(H5DSset_scale(
            character_scale.get(),
            fmt::format("This is a netCDF dimension but not a netCDF variable.{:10d}", schema::message_length).c_str()),
        "H5DSset_scale");

  const Dimension cases{count, case_scale.get()};
  const Dimension by_rank{ranks, rank_scale.get()};
  const Dimension by_sample{max_samples, sample_scale.get()};
  const std::array<Dimension, 3> cube{cases, by_rank, by_sample};
  const std::array<Dimension, 2> case_rank{cases, by_rank};
  const std::array<hsize_t, 3> chunk{1, chunk_ranks, chunk_samples};
  // The first samples of all cases come first in the index: as few blocks of it as there can be, where there is room
  // for more samples than were taken.
  const std::size_t growing = chunk_samples < max_samples ? 2 : 0;
  describe(create(group.get(), schema::time, H5T_IEEE_F64LE, cube, fill_nan(), chunk, growing),
           "time of one operation on one rank", "s");
  describe(create(group.get(), schema::host_time, H5T_IEEE_F64LE, cube, fill_nan(), chunk, growing),
           "time of one operation on one rank by the host's clock, where `time` is the device's", "s");
  describe(create(group.get(), schema::begin, H5T_IEEE_F64LE, cube, fill_nan(), chunk, growing),
           "start of the operation on the global clock", "s");
  {
    const Handle flags = create(group.get(), schema::flags, H5T_STD_U8LE, cube, zero_fill, chunk, growing);
    describe(flags, "what to know about a sample");
    static constexpr std::array<std::uint8_t, 3> masks{schema::flag_late, schema::flag_barrier, schema::flag_short};
    set_number_attribute<std::uint8_t>(flags.get(), schema::flag_masks, H5T_STD_U8LE, H5T_NATIVE_UINT8, masks, false);
    set_text_attribute(flags.get(), schema::flag_meanings, "late barrier short");
  }
  describe(create(group.get(), schema::switches, H5T_STD_U16LE, cube, zero_fill, chunk, growing),
           "involuntary context switches of the rank during the sample");
  describe(create(group.get(), schema::probe, H5T_IEEE_F32LE, cube, fill_nan(), chunk, growing),
           "time of a fixed piece of work right after the sample", "s");
  describe(create(group.get(), schema::steal, H5T_IEEE_F32LE, cube, fill_nan(), chunk, growing),
           "time that the hypervisor took from the node during the batch of the sample", "s");
  const std::array<Dimension, 2> case_sample{cases, by_sample};
  const std::array<hsize_t, 2> row_chunk{1, max_samples};
  describe(create(group.get(), schema::figure_time, H5T_IEEE_F64LE, case_sample, fill_nan(), row_chunk),
           "time of one operation of the whole job", "s");
  const Dimension warmup_self{static_cast<hsize_t>(schema::warmup_length), H5I_INVALID_HID};
  const Handle warmup_scale = create(group.get(), schema::warmup, H5T_STD_I32LE, std::span(&warmup_self, 1), zero_fill);
  check(H5DSset_scale(warmup_scale.get(), schema::warmup), "H5DSset_scale");
  std::vector<std::int32_t> warmup_positions(static_cast<std::size_t>(schema::warmup_length));
  std::iota(warmup_positions.begin(), warmup_positions.end(), 0);
  write_all(warmup_scale, H5T_NATIVE_INT32, warmup_positions);
  const std::array<Dimension, 2> case_warmup{cases, Dimension{warmup_self.length, warmup_scale.get()}};
  const std::array<hsize_t, 2> warmup_chunk{1, warmup_self.length};
  describe(create(group.get(), schema::warmup_time, H5T_IEEE_F64LE, case_warmup, fill_nan(), warmup_chunk),
           "time of one operation of the whole job, before sampling began", "s");
  // In chunks too: contiguous, they would cost ranks x cases before anything has run.
  const std::array<hsize_t, 2> rank_chunk{1, chunk_ranks};
  describe(create(group.get(), schema::samples, H5T_STD_I32LE, case_rank, zero_fill, rank_chunk), "number of samples");
  describe(create(group.get(), schema::verify_error, H5T_IEEE_F64LE, case_rank, fill_nan(), rank_chunk),
           "error of the output that was timed, where 1 is the tolerance", "1");
  describe(create(group.get(), schema::digest, H5T_STD_U64LE, case_rank, zero_fill, rank_chunk),
           "digest of the bits of the output that was timed; 0: none");

  if (suite.pairs) {
    static constexpr std::int32_t none = -1;
    describe(create(group.get(), schema::partner, H5T_STD_I32LE, case_rank, Fill{H5T_NATIVE_INT32, &none}, rank_chunk),
             "rank that this one exchanged messages with; -1: none");
  }

  const auto flag_column = [&](const char* name, const char* long_name, std::span<const std::int8_t> values,
                               const char* meanings, std::int8_t fill) {
    Handle dataset = create(group.get(), name, H5T_STD_I8LE, std::span(&cases, 1), Fill{H5T_NATIVE_INT8, &fill});
    describe(dataset, long_name);
    set_number_attribute<std::int8_t>(dataset.get(), schema::flag_values, H5T_STD_I8LE, H5T_NATIVE_INT8, values, false);
    set_text_attribute(dataset.get(), schema::flag_meanings, meanings);
    return dataset;
  };
  static constexpr std::array<std::int8_t, 6> status_values{0, 1, 2, 3, 4, 5};
  const Handle status = flag_column(schema::status, "what became of the case", status_values,
                                    "not_run passed mistrusted failed skipped error", 0);
  static constexpr std::array<std::int8_t, 5> stop_values{-1, 0, 1, 2, 3};
  static_cast<void>(flag_column(schema::stop_reason, "why sampling stopped", stop_values,
                                "none converged budget max_samples certain", -1));
  static constexpr std::array<std::int8_t, 2> timer_values{0, 1};
  static_cast<void>(flag_column(schema::timer, "whose clock `time` is from", timer_values, "host device", 0));
  describe(create(group.get(), schema::warmup_steps, H5T_STD_I32LE, std::span(&cases, 1), zero_fill),
           "steps before the first sample");
  static constexpr std::int32_t one_operation = 1;
  {
    const Handle launches = create(group.get(), schema::launch, H5T_STD_I32LE, std::span(&cases, 1), zero_fill);
    describe(launches,
             "the launch that measured it, from 0, of provenance/resumed where the run was interrupted; -1: none");
    write_all(launches, H5T_NATIVE_INT32, std::vector<std::int32_t>(count, -1));
  }
  describe(create(group.get(), schema::operations, H5T_STD_I32LE, std::span(&cases, 1),
                  Fill{H5T_NATIVE_INT32, &one_operation}),
           "operations in one sample; its times are divided by them");
  describe(create(group.get(), schema::clock_error, H5T_IEEE_F64LE, std::span(&cases, 1), fill_nan()),
           "error of the global clock, the larger of before and after the case", "s");
  describe(create(group.get(), schema::clock_error_before, H5T_IEEE_F64LE, std::span(&cases, 1), fill_nan()),
           "error of the global clock before the case", "s");
  describe(create(group.get(), schema::clock_error_after, H5T_IEEE_F64LE, std::span(&cases, 1), fill_nan()),
           "error of the global clock after the case", "s");

  const auto number_column = [&](const char* name, double CaseHeader::*member, const char* long_name) {
    const Handle dataset = create(group.get(), name, H5T_IEEE_F64LE, std::span(&cases, 1), zero_fill);
    describe(dataset, long_name);
    std::vector<double> values;
    for (const CaseHeader& which : suite.cases) values.push_back(which.*member);
    write_all(dataset, H5T_NATIVE_DOUBLE, values);
  };
  number_column(schema::flop, &CaseHeader::flop, "floating-point operations of one step of one rank");
  number_column(schema::bytes, &CaseHeader::bytes, "bytes that one step of one rank moves");
  number_column(schema::tokens, &CaseHeader::tokens, "tokens of one step of the whole job");
  std::vector<std::int64_t> message_sizes;
  std::vector<std::int8_t> collective;
  std::vector<std::int8_t> statuses;
  std::vector<char> messages;
  for (const CaseHeader& which : suite.cases) {
    message_sizes.push_back(which.message_size);
    collective.push_back(which.collective ? 1 : 0);
    statuses.push_back(static_cast<std::int8_t>(which.skip_reason.empty() ? Status::not_run : Status::skipped));
  }
  const Handle size_column = create(group.get(), schema::message_size, H5T_STD_I64LE, std::span(&cases, 1), zero_fill);
  describe(size_column, "bytes of the collective's vector");
  write_all(size_column, H5T_NATIVE_INT64, message_sizes);
  const Handle collective_column =
      create(group.get(), schema::collective, H5T_STD_I8LE, std::span(&cases, 1), zero_fill);
  describe(collective_column, "1: one operation of all ranks together; 0: every rank does its own");
  write_all(collective_column, H5T_NATIVE_INT8, collective);
  write_all(status, H5T_NATIVE_INT8, statuses);

  const std::array<Dimension, 2> case_character{
      cases, Dimension{static_cast<hsize_t>(schema::message_length), character_scale.get()}};
  const std::array<hsize_t, 2> message_chunk{1, static_cast<hsize_t>(schema::message_length)};
  const Handle character = hdf5::character_type();
  {
    const Handle message =
        create(group.get(), schema::message, character.get(), case_character, zero_fill, message_chunk);
    describe(message, "of a failure, an error or a skipped case: what and why");
    set_text_attribute(message.get(), "_Encoding", "utf-8");
    const Handle implementation =
        create(group.get(), schema::implementation, character.get(), case_character, zero_fill, message_chunk);
    describe(implementation, "what of the libraries ran the case");
    set_text_attribute(implementation.get(), "_Encoding", "utf-8");
  }
  for (std::size_t i = 0; i < suite.cases.size(); ++i) {
    if (suite.cases[i].skip_reason.empty()) continue;
    const std::array<hsize_t, 2> start{i, 0};
    const std::array<hsize_t, 2> extent{1, static_cast<hsize_t>(schema::message_length)};
    write_part(group.get(), schema::message, character.get(), start, extent,
               message_bytes(suite.cases[i].skip_reason).data());
  }
  write_parameters(group, suite, cases);
  write_figures(group, suite, cases);
}

void Writer::State::write_telemetry_structure(hid_t parent, const RunHeader& header, const Handle& rank_scale) {
  telemetry = header.telemetry;
  telemetry_ticks = static_cast<std::size_t>(header.telemetry_ticks);
  const Handle group = create_group(parent, schema::telemetry);
  const Dimension self{telemetry_ticks, H5I_INVALID_HID};
  const Handle tick_scale = create(group.get(), schema::tick, H5T_STD_I32LE, std::span(&self, 1), zero_fill);
  check(H5DSset_scale(tick_scale.get(), schema::tick), "H5DSset_scale");
  std::vector<std::int32_t> positions(telemetry_ticks);
  std::iota(positions.begin(), positions.end(), 0);
  write_all(tick_scale, H5T_NATIVE_INT32, positions);

  const Dimension by_rank{ranks, rank_scale.get()};
  const std::array<Dimension, 2> rank_tick{by_rank, Dimension{telemetry_ticks, tick_scale.get()}};
  const std::array<hsize_t, 2> chunk{1, telemetry_ticks};
  describe(create(group.get(), schema::telemetry_time, H5T_IEEE_F64LE, rank_tick, fill_nan(), chunk),
           "when the tick was read, or the first reading of it, on the global clock", "s");
  describe(create(group.get(), schema::telemetry_ticks, H5T_STD_I32LE, std::span(&by_rank, 1), zero_fill),
           "number of ticks");
  describe(create(group.get(), schema::telemetry_readings, H5T_STD_I32LE, std::span(&by_rank, 1), zero_fill),
           "readings that fell together in a tick: levels are their mean, counters the last, bit masks their union");
  describe(create(group.get(), schema::telemetry_cost, H5T_IEEE_F64LE, std::span(&by_rank, 1), fill_nan()),
           "CPU time that reading took, as a share of the time of the run", "1");
  for (const TelemetryColumn& column : telemetry) {
    const bool is_mask = column.kind == "bits";
    const Handle dataset = is_mask
                               ? create(group.get(), column.name.c_str(), H5T_STD_U32LE, rank_tick, zero_fill, chunk)
                               : create(group.get(), column.name.c_str(), H5T_IEEE_F32LE, rank_tick, fill_nan(), chunk);
    describe(dataset, column.long_name, column.unit);
    set_text_attribute(dataset.get(), schema::telemetry_kind, column.kind);
    if (!is_mask || column.bits.empty()) continue;
    std::vector<std::uint32_t> masks;
    std::string meanings;
    for (const auto& [mask, meaning] : column.bits) {
      masks.push_back(mask);
      meanings += (meanings.empty() ? "" : " ") + meaning;
    }
    set_number_attribute<std::uint32_t>(dataset.get(), schema::flag_masks, H5T_STD_U32LE, H5T_NATIVE_UINT32, masks,
                                        false);
    set_text_attribute(dataset.get(), schema::flag_meanings, meanings);
  }
}

void Writer::State::write_parameters(const Handle& group, const SuiteHeader& suite, const Dimension& cases) {
  std::vector<std::pair<std::string, std::size_t>> order;  // name, alternative of ParameterValue
  for (const CaseHeader& which : suite.cases) {
    for (const Parameters::Entry& parameter : which.parameters.entries()) {
      const std::string& name = parameter.first;
      const auto known =
          std::find_if(order.begin(), order.end(), [&](const auto& entry) { return entry.first == name; });
      if (known == order.end()) {
        if (!is_plain_name(name)) throw header_error(fmt::format("parameter name '{}'", printable(name)));
        order.emplace_back(name, parameter.second.index());
      } else if (known->second != parameter.second.index()) {
        throw header_error(fmt::format("parameter '{}' of case '{}' has another type than in the cases before", name,
                                       printable(which.name)));
      }
    }
  }
  const auto column = [&](const std::string& name, hid_t type, const Fill& fill) {
    // A parameter that is called as a column of ours gets another dataset name; the attribute has the true one.
    std::string dataset_name = name;
    const auto taken = [&] {
      return is_column_name(dataset_name) ||
             (dataset_name != name &&
              std::any_of(order.begin(), order.end(), [&](const auto& entry) { return entry.first == dataset_name; }));
    };
    while (taken()) dataset_name += "_parameter";
    Handle dataset = create(group.get(), dataset_name.c_str(), type, std::span(&cases, 1), fill);
    set_text_attribute(dataset.get(), schema::parameter, name);
    return dataset;
  };
  const auto values_of = [&](const std::string& name, auto absent) {
    using T = decltype(absent);
    std::vector<T> values;
    for (const CaseHeader& which : suite.cases) {
      const ParameterValue* value = which.parameters.find(name);
      values.push_back(value != nullptr ? std::get<T>(*value) : absent);
    }
    return values;
  };
  for (const auto& [name, alternative] : order) {
    if (alternative == 0) {
      const std::vector<std::int64_t> values = values_of(name, no_integer);
      const Handle dataset = column(name, H5T_STD_I64LE, zero_fill);
      if (std::find(values.begin(), values.end(), no_integer) != values.end()) {
        set_number_attribute<std::int64_t>(dataset.get(), schema::fill_value, H5T_STD_I64LE, H5T_NATIVE_INT64,
                                           std::span(&no_integer, 1), false);
      }
      write_all(dataset, H5T_NATIVE_INT64, values);
    } else if (alternative == 1) {
      write_all(column(name, H5T_IEEE_F64LE, zero_fill), H5T_NATIVE_DOUBLE, values_of(name, not_a_number));
    } else {
      std::vector<std::string> values = values_of(name, std::string{});
      for (std::string& value : values) value = printable(value, 4096);
      write_texts(column(name, hdf5::text_type().get(), zero_fill), values);
    }
  }
}

void Writer::State::write_figures(const Handle& group, const SuiteHeader& suite, const Dimension& cases) {
  const Handle figures = create_group(group.get(), schema::figures);
  std::vector<std::pair<FigureHeader, std::vector<double>>> columns;
  for (std::size_t i = 0; i < suite.cases.size(); ++i) {
    // A figure that is new goes behind the case's one before it, so that every case keeps its own order.
    std::size_t next = 0;
    for (const FigureHeader& figure : suite.cases[i].figures) {
      auto column = std::find_if(columns.begin(), columns.end(),
                                 [&](const auto& entry) { return entry.first.name == figure.name; });
      if (column == columns.end()) {
        if (!is_plain_name(figure.name)) throw header_error(fmt::format("figure name '{}'", printable(figure.name)));
        column = columns.emplace(columns.begin() + static_cast<std::ptrdiff_t>(next), figure,
                                 std::vector<double>(suite.cases.size(), not_a_number));
      } else if (column->first.unit != figure.unit || column->first.kind != figure.kind) {
        throw header_error(fmt::format("figure '{}' of case '{}' has another unit or kind than in the cases before",
                                       figure.name, printable(suite.cases[i].name)));
      }
      next = static_cast<std::size_t>(column - columns.begin()) + 1;
      column->second[i] = figure.amount;
    }
  }
  for (const auto& [figure, amounts] : columns) {
    const Handle dataset = create(figures.get(), figure.name.c_str(), H5T_IEEE_F64LE, std::span(&cases, 1), fill_nan());
    const bool rate = figure.kind == FigureHeader::Kind::rate;
    describe(dataset, rate ? "divided by a time in s gives the figure" : "times a time in s gives the figure",
             figure.unit);
    set_text_attribute(dataset.get(), schema::kind, rate ? "rate" : "time");
    write_all(dataset, H5T_NATIVE_DOUBLE, amounts);
  }
}

Writer::State::Suite& Writer::State::suite_of(std::size_t suite, std::size_t which) {
  if (file.get() < 0) {
    throw Error(ExitCode::internal, "results", 0, "", fmt::format("{}: written to after it was closed", quoted(part)));
  }
  if (suite >= suites.size() || which >= suites[suite].cases) {
    throw Error(ExitCode::internal, "results", 0, "", fmt::format("no case {} of suite {} in this file", which, suite));
  }
  return suites[suite];
}

template <typename Work>
void Writer::State::guarded(Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    if (error.domain() == "hdf5") give_up(fmt::format("{} ({})", error.what(), error.call()));
    close_part();
    throw;
  }
}

void Writer::State::give_up(const std::string& reason) {
  const std::string what = fmt::format("{}: cannot be written: {}", quoted(part), reason);
  const std::size_t kept = finished.size();
  spent = true;
  close_part();
  if (options.discard_leftover) {
    throw infrastructure_error(what + "; it was removed, and what it was made from is still there; free some space, " +
                               "or write elsewhere");
  }
  if (kept == 0) {
    throw infrastructure_error(what + "; no case had finished, so it was removed; free some space there and run again");
  }
  throw infrastructure_error(
      fmt::format("{}; it keeps {} finished case{}: free some space there, then run 'rackproof "
                  "recover {}'",
                  what, kept, kept == 1 ? "" : "s", printable(part.string(), 500)));
}

void Writer::State::close_part() noexcept {
  if (!lock) return;
  // After a failed write HDF5 holds entries that it cannot get rid of, and H5Fclose() would try them again. What is on
  // the disk is readable as it is, so the open file is then left to the end of the process.
  if (spent) static_cast<void>(file.release());
  file = Handle{};
  if (finished.empty() || options.discard_leftover) ::unlink(part.c_str());
  lock.reset();
}

void Writer::State::write_samples(Suite& suite, std::size_t which, const RankBlock& block) {
  const auto first = static_cast<std::size_t>(block.first_rank);
  const std::size_t end = first + block.samples.size();
  const auto block_of = [&](std::size_t rank) {
    return suite.touched.begin() + static_cast<std::ptrdiff_t>(which * blocks() + rank / chunk_ranks);
  };
  if (first % chunk_ranks == 0 && (end == first + chunk_ranks || (end == ranks && end - first < chunk_ranks))) {
    const std::size_t bytes = write_chunks(suite.folder, which, block, *block_of(first));
    // The disk works while the next block is gathered and packed.
    if (bytes >= bytes_worth_starting) lock->start_writing();
  } else {
    write_part_of_chunks(suite.folder, which, block);
  }
  std::fill(block_of(first), block_of(end - 1) + 1, true);
}

std::size_t Writer::State::write_chunks(const std::string& folder, std::size_t which, const RankBlock& block,
                                        bool with_empty) const {
  std::size_t bytes = 0;
  std::string_view column;
  // No Handle: as in write_part().
  hid_t dataset = H5I_INVALID_HID;
  packer->pack(block, with_empty, [&](const PackedChunk& chunk) {
    if (column != chunk.column) {
      if (dataset >= 0) check(H5Dclose(dataset), "H5Dclose");
      dataset = check(H5Dopen2(file.get(), (folder + chunk.column).c_str(), H5P_DEFAULT), "H5Dopen2");
      column = chunk.column;
    }
    const std::array<hsize_t, 3> offset{which, static_cast<hsize_t>(block.first_rank), chunk.first_sample};
    check(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, offset.data(), chunk.bytes.size(), chunk.bytes.data()),
          "H5Dwrite_chunk");
    bytes += chunk.bytes.size();
  });
  if (dataset >= 0) check(H5Dclose(dataset), "H5Dclose");
  return bytes;
}

void Writer::State::write_part_of_chunks(const std::string& folder, std::size_t which, const RankBlock& block) const {
  const std::array<hsize_t, 3> start{which, static_cast<hsize_t>(block.first_rank), 0};
  const std::array<hsize_t, 3> count{1, block.samples.size(), static_cast<hsize_t>(block.columns)};
  const bool ragged =
      std::any_of(block.samples.begin(), block.samples.end(), [&](std::int32_t n) { return n < block.columns; });
  const auto write_cube = [&](const char* column, hid_t type, const auto& data, auto padding) {
    if (data.empty()) return;
    if (ragged) {
      write_part(file.get(), folder + column, type, start, count, padded(data, block, padding).data());
    } else {
      write_part(file.get(), folder + column, type, start, count, data.data());
    }
  };
  write_cube(schema::time, H5T_NATIVE_DOUBLE, block.time, not_a_number);
  const bool some_by_device =
      std::any_of(block.host_time.begin(), block.host_time.end(), [](double t) { return t == t; });
  if (some_by_device) write_cube(schema::host_time, H5T_NATIVE_DOUBLE, block.host_time, not_a_number);
  write_cube(schema::begin, H5T_NATIVE_DOUBLE, block.begin, not_a_number);
  write_cube(schema::flags, H5T_NATIVE_UINT8, block.flags, std::uint8_t{0});
  write_cube(schema::switches, H5T_NATIVE_UINT16, block.switches, std::uint16_t{0});
  write_cube(schema::probe, H5T_NATIVE_FLOAT, block.probe, static_cast<float>(not_a_number));
  write_cube(schema::steal, H5T_NATIVE_FLOAT, block.steal, static_cast<float>(not_a_number));
}

void Writer::write_block(std::size_t suite, std::size_t which, const RankBlock& block) {
  State& state = *state_;
  State::Suite& of = state.suite_of(suite, which);
  const std::string& name = of.folder;
  const std::size_t ranks = block.samples.size();
  const auto columns = static_cast<std::size_t>(std::max(block.columns, 0));
  const std::size_t values = ranks * columns;
  const auto fits = [](std::size_t size, std::size_t wanted) { return size == 0 || size == wanted; };
  const auto valid_count = [&](std::int32_t n) { return n >= 0 && n <= block.columns; };
  if (block.columns < 0 || columns > state.max_samples || block.first_rank < 0 ||
      static_cast<std::size_t>(block.first_rank) + ranks > state.ranks || block.time.size() != values ||
      !fits(block.begin.size(), values) || !fits(block.host_time.size(), values) || !fits(block.flags.size(), values) ||
      !fits(block.switches.size(), values) || !fits(block.probe.size(), values) || !fits(block.steal.size(), values) ||
      !fits(block.verify_error.size(), ranks) || !fits(block.digest.size(), ranks) ||
      !fits(block.partner.size(), ranks) || !std::all_of(block.samples.begin(), block.samples.end(), valid_count)) {
    throw Error(ExitCode::internal, "results", 0, "",
                fmt::format("a block of samples has sizes that do not fit together: {} ranks from {}, {} columns",
                            ranks, block.first_rank, block.columns));
  }
  if (ranks == 0) return;
  state.guarded([&] {
    const hid_t file = state.file.get();
    const std::array<hsize_t, 3> start{which, static_cast<hsize_t>(block.first_rank), 0};
    const std::array<hsize_t, 3> count{1, ranks, columns};
    if (columns > 0) state.write_samples(of, which, block);
    const auto start_row = std::span(start).first<2>();
    const auto count_row = std::span(count).first<2>();
    write_part(file, name + schema::samples, H5T_NATIVE_INT32, start_row, count_row, block.samples.data());
    if (!block.verify_error.empty()) {
      write_part(file, name + schema::verify_error, H5T_NATIVE_DOUBLE, start_row, count_row, block.verify_error.data());
    }
    if (!block.digest.empty()) {
      write_part(file, name + schema::digest, H5T_NATIVE_UINT64, start_row, count_row, block.digest.data());
    }
    if (of.pairs && !block.partner.empty()) {
      write_part(file, name + schema::partner, H5T_NATIVE_INT32, start_row, count_row, block.partner.data());
    }
  });
}

void Writer::finish_case(std::size_t suite, std::size_t which, const CaseOutcome& outcome) {
  State& state = *state_;
  const std::string& name = state.suite_of(suite, which).folder;
  if (outcome.figure_time.size() > state.max_samples) {
    throw Error(ExitCode::internal, "results", 0, "", "a case has more samples than its file has room for");
  }
  state.guarded([&] {
    const hid_t file = state.file.get();
    std::vector<double> figure = outcome.figure_time;
    figure.resize(state.max_samples, not_a_number);
    const std::array<hsize_t, 2> start{which, 0};
    const std::array<hsize_t, 2> row{1, figure.size()};
    write_part(file, name + schema::figure_time, H5T_NATIVE_DOUBLE, start, row, figure.data());
    const std::size_t warmup = std::min(outcome.warmup_time.size(), static_cast<std::size_t>(schema::warmup_length));
    if (warmup > 0) {
      const std::array<hsize_t, 2> steps{1, warmup};
      write_part(file, name + schema::warmup_time, H5T_NATIVE_DOUBLE, start, steps,
                 outcome.warmup_time.data() + (outcome.warmup_time.size() - warmup));
    }
    const auto write_text = [&](const char* dataset, const std::string& text) {
      if (text.empty()) return;
      const std::array<hsize_t, 2> length{1, static_cast<hsize_t>(schema::message_length)};
      write_part(file, name + dataset, hdf5::character_type().get(), start, length, message_bytes(text).data());
    };
    write_text(schema::message, outcome.message);
    write_text(schema::implementation, outcome.implementation);
    write_one(file, name + schema::stop_reason, H5T_NATIVE_INT8, which, static_cast<std::int8_t>(outcome.stop_reason));
    write_one(file, name + schema::timer, H5T_NATIVE_INT8, which, static_cast<std::int8_t>(outcome.timer));
    write_one(file, name + schema::launch, H5T_NATIVE_INT32, which,
              static_cast<std::int32_t>(outcome.launch < 0 ? state.launch : outcome.launch));
    write_one(file, name + schema::warmup_steps, H5T_NATIVE_INT32, which,
              static_cast<std::int32_t>(outcome.warmup_steps));
    write_one(file, name + schema::operations, H5T_NATIVE_INT32, which, static_cast<std::int32_t>(outcome.operations));
    write_one(file, name + schema::clock_error, H5T_NATIVE_DOUBLE, which, outcome.clock_error);
    write_one(file, name + schema::clock_error_before, H5T_NATIVE_DOUBLE, which, outcome.clock_error_before);
    write_one(file, name + schema::clock_error_after, H5T_NATIVE_DOUBLE, which, outcome.clock_error_after);
    check(H5Fflush(state.file.get(), H5F_SCOPE_LOCAL), "H5Fflush");
    if (const int error = state.lock->sync(false); error != 0) state.give_up(os_message(error));
    write_one(file, name + schema::status, H5T_NATIVE_INT8, which, static_cast<std::int8_t>(outcome.status));
    check(H5Fflush(state.file.get(), H5F_SCOPE_LOCAL), "H5Fflush");
  });
  if (is_finished(outcome.status)) {
    state.finished.insert({suite, which});
  } else {
    state.finished.erase({suite, which});
  }
}

void Writer::write_telemetry(const TelemetryBlock& block) {
  State& state = *state_;
  const std::size_t ranks = block.ticks.size();
  const auto columns = static_cast<std::size_t>(std::max(block.columns, 0));
  const auto is_whole = [&](const auto& values) { return values.size() == ranks * columns; };
  if (state.file.get() < 0 || block.columns < 0 || columns > state.telemetry_ticks || block.first_rank < 0 ||
      static_cast<std::size_t>(block.first_rank) + ranks > state.ranks || block.readings.size() != ranks ||
      block.cost.size() != ranks || !is_whole(block.time) || block.values.size() != state.telemetry.size() ||
      !std::all_of(block.values.begin(), block.values.end(), is_whole)) {
    throw Error(ExitCode::internal, "results", 0, "", "telemetry has sizes that do not fit together");
  }
  if (ranks == 0) return;
  state.guarded([&] {
    const hid_t file = state.file.get();
    const std::string folder = fmt::format("/{}/", schema::telemetry);
    const std::array<hsize_t, 2> start{static_cast<hsize_t>(block.first_rank), 0};
    const std::array<hsize_t, 2> shape{ranks, columns};
    const auto by_rank = [&](const char* name, hid_t type, const auto& values) {
      write_part(file, folder + name, type, std::span<const hsize_t>(start.data(), 1),
                 std::span<const hsize_t>(shape.data(), 1), values.data());
    };
    by_rank(schema::telemetry_readings, H5T_NATIVE_INT32, block.readings);
    by_rank(schema::telemetry_cost, H5T_NATIVE_DOUBLE, block.cost);
    if (columns > 0) {
      write_part(file, folder + schema::telemetry_time, H5T_NATIVE_DOUBLE, start, shape, block.time.data());
      for (std::size_t c = 0; c < state.telemetry.size(); ++c) {
        const std::string name = folder + state.telemetry[c].name;
        if (state.telemetry[c].kind != "bits") {
          write_part(file, name, H5T_NATIVE_FLOAT, start, shape, block.values[c].data());
          continue;
        }
        std::vector<std::uint32_t> masks;
        for (const float value : block.values[c])
          masks.push_back(value >= 0.0F ? static_cast<std::uint32_t>(value) : 0U);
        write_part(file, name, H5T_NATIVE_UINT32, start, shape, masks.data());
      }
    }
    // Last: what stands behind it was there before it.
    by_rank(schema::telemetry_ticks, H5T_NATIVE_INT32, block.ticks);
    check(H5Fflush(file, H5F_SCOPE_LOCAL), "H5Fflush");
  });
}

void Writer::take_name(const std::filesystem::path& name) {
  State& state = *state_;
  if (const int error = rename_file(state.part, name, true); error != 0) {
    throw infrastructure_error(
        fmt::format("{}: cannot be renamed to {}: {}", quoted(state.part), quoted(name), os_message(error)));
  }
  state.part = name;
  state.options.discard_leftover = false;
}

void Writer::finish() {
  State& state = *state_;
  if (state.file.get() < 0) {
    throw Error(ExitCode::internal, "results", 0, "", fmt::format("{}: finished twice", quoted(state.part)));
  }
  state.guarded([&] {
    check(H5Fflush(state.file.get(), H5F_SCOPE_LOCAL), "H5Fflush");
    check(H5Fclose(state.file.release()), "H5Fclose");
  });
  if (const int error = state.lock->sync(true); error != 0) state.give_up(os_message(error));
  if (const int error = rename_file(state.part, state.path, state.options.force); error != 0) {
    const std::filesystem::path part = state.part;
    state.lock.reset();
    if (error == EEXIST) {
      throw usage_error(fmt::format("{}: has appeared during the run; the run is complete in {}: rename it",
                                    quoted(state.path), quoted(part)));
    }
    throw infrastructure_error(fmt::format("{}: cannot be renamed to {}: {}; the run is complete in it: rename it",
                                           quoted(part), quoted(state.path), os_message(error)));
  }
  state.lock.reset();
  if (const int error = sync_folder(state.path.parent_path()); error != 0) {
    throw infrastructure_error(
        fmt::format("{}: its folder cannot be synced: {}; check the disk", quoted(state.path), os_message(error)));
  }
}

void Writer::abandon() noexcept { state_->close_part(); }

}  // namespace rackproof::results

#include "launch/run_plant.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "common/core/error.hpp"
#include "common/core/lists.hpp"
#include "common/core/units.hpp"

namespace rackproof {
namespace {

using PlantKind = Plant::Kind;

enum class PlantAmount { none, share, duration, bit, folder };

struct PlantWords {
  PlantKind kind;
  const char* name;
  std::size_t places;
  PlantAmount amount;
  bool once;  ///< "@CASE" may follow
};

constexpr std::array<PlantWords, 9> plant_kinds{
    {{PlantKind::slow, "slow", 1, PlantAmount::share, false},
     {PlantKind::slow_link, "slow-link", 2, PlantAmount::share, false},
     {PlantKind::freeze, "freeze", 1, PlantAmount::none, true},
     {PlantKind::kill, "kill", 1, PlantAmount::none, true},
     {PlantKind::wrong_sum, "wrong-sum", 1, PlantAmount::none, true},
     {PlantKind::flipped_bit, "flipped-bit", 1, PlantAmount::bit, true},
     {PlantKind::clock_jump, "clock-jump", 1, PlantAmount::duration, true},
     {PlantKind::full_disk, "full-disk", 0, PlantAmount::none, true},
     {PlantKind::other_library, "other-library", 1, PlantAmount::folder, false}}};

/// A mantissa's bit of every type that sums have: far above the rounding, far below infinity.
constexpr int bit_of_sums = 6;
/// So many elements of a contribution are wrong: of one element nearly any rank's could be the reason.
constexpr std::size_t wrong_elements = 1024;
/// What happens once happens in this step of its case, warm-up included.
constexpr int eventful_step = 3;
/// Told to the process that takes this one's place.
constexpr const char* library_mark = "RACKPROOF_PLANTED_LIBRARY";

[[noreturn]] void refuse_plant(const std::string& text, const std::string& why) {
  throw usage_error(fmt::format("--plant: '{}': {}", printable(text), why));
}

const PlantWords& plant_words(const std::string& name, const std::string& text) {
  std::string known;
  for (const PlantWords& one : plant_kinds) {
    if (name == one.name) return one;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", one.name);
  }
  refuse_plant(text, fmt::format("'{}' is none of {}", printable(name), known));
}

/// Cuts "REST<separator>TAIL" at the last separator; false where there is none.
bool cut_at_last(std::string& text, char separator, std::string& tail) {
  const std::size_t at = text.rfind(separator);
  if (at == std::string::npos) return false;
  tail = text.substr(at + 1);
  text.resize(at);
  return true;
}

void take_amount(Plant& plant, const PlantWords& words, const std::string& amount) {
  constexpr std::int64_t most_bits = 63;
  switch (words.amount) {
    case PlantAmount::none:
      refuse_plant(plant.text, fmt::format("{} has no amount", words.name));
    case PlantAmount::share:
      plant.share = parse_percent(amount, "--plant", 0.99);
      return;
    case PlantAmount::duration:
      plant.seconds = parse_duration(amount, "--plant");
      return;
    case PlantAmount::bit:
      plant.bit = static_cast<int>(parse_integer(amount, "--plant", 0, most_bits));
      return;
    case PlantAmount::folder:
      plant.folder = amount;
      return;
  }
}

const char* example_of(PlantAmount amount) {
  switch (amount) {
    case PlantAmount::share:
      return ":5%";
    case PlantAmount::duration:
      return ":10ms";
    case PlantAmount::folder:
      return ":FOLDER";
    case PlantAmount::bit:
    case PlantAmount::none:
      break;
  }
  return "";
}

}  // namespace

Plant parse_plant(const std::string& text) {
  Plant plant;
  plant.text = text;
  const std::size_t equals = text.find('=');
  std::string name = text.substr(0, equals);
  std::string rest = equals == std::string::npos ? "" : text.substr(equals + 1);
  std::string tail;
  std::string& last = equals == std::string::npos ? name : rest;
  const bool has_case = last.find('@') != std::string::npos && cut_at_last(last, '@', tail);
  const PlantWords& words = plant_words(name, text);
  plant.kind = words.kind;
  plant.bit = bit_of_sums;
  if (has_case) {
    constexpr std::int64_t most_cases = 1'000'000;
    if (!words.once) refuse_plant(text, fmt::format("{} is there from the first case on", words.name));
    plant.at_case = static_cast<int>(parse_integer(tail, "--plant", 1, most_cases));
  }
  // A folder may have colons in its name, a host may not.
  const std::size_t colon = rest.find(':');
  if (colon != std::string::npos) {
    take_amount(plant, words, rest.substr(colon + 1));
    rest.resize(colon);
  } else if (words.amount != PlantAmount::none && words.amount != PlantAmount::bit) {
    refuse_plant(text, fmt::format("how much? such as {}={}{}", words.name, words.places == 2 ? "node1,node2" : "node1",
                                   example_of(words.amount)));
  }
  if (words.places > 0) {
    if (rest.empty()) refuse_plant(text, fmt::format("where? such as {}=rank1", words.name));
    plant.places = split_list(rest, "--plant");
  }
  if (plant.places.size() != words.places || (words.places == 0 && !rest.empty())) {
    refuse_plant(text, fmt::format("{} takes {} place{}", words.name, words.places, words.places == 1 ? "" : "s"));
  }
  return plant;
}

std::vector<Plant> parse_plants(const std::vector<std::string>& texts) {
  std::vector<Plant> plants;
  for (const std::string& text : texts) plants.push_back(parse_plant(text));
  return plants;
}

std::string plant_help() {
  return "A fault, to see whether it is found here; PLACE is a host or rankN; may be repeated. slow=PLACE:5% (works at "
         "95 % of its speed; of a GPU, whose own clock is what counts, the reading is stretched), "
         "slow-link=PLACE,PLACE:30% (messages of suite links between the two), freeze=PLACE (SIGSTOP), kill=PLACE "
         "(SIGKILL), wrong-sum=PLACE (some of what it adds to sums is wrong), flipped-bit=PLACE[:BIT] (in products of "
         "suite gemm), clock-jump=PLACE:10ms (of the clock that is read), full-disk (the file cannot grow), "
         "other-library=PLACE:FOLDER (first on LD_LIBRARY_PATH); @N behind it: with the Nth case, not the second. The "
         "file tells of it and is refused by what judges or compares, but for --allow-fake";
}

std::vector<int> ranks_at(const std::string& place, const mpi::Topology& topology) {
  std::vector<int> ranks;
  for (int rank = 0; rank < topology.size(); ++rank) {
    if (topology.ranks[static_cast<std::size_t>(rank)].host == place) ranks.push_back(rank);
  }
  if (!ranks.empty()) return ranks;
  constexpr std::string_view prefix = "rank";
  const std::string digits = place.starts_with(prefix) ? place.substr(prefix.size()) : "";
  const bool is_number = !digits.empty() && digits.size() < 8 && std::all_of(digits.begin(), digits.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
  if (is_number && std::stoi(digits) < topology.size()) return {std::stoi(digits)};
  throw usage_error(fmt::format("--plant: '{}' is neither a host of this run nor one of its ranks, rank0 to rank{}",
                                printable(place), topology.size() - 1));
}

void load_planted_library(const std::vector<Plant>& plants, const std::string& host, int rank,
                          const std::vector<std::string>& arguments) {
  if (std::getenv(library_mark) != nullptr) return;
  for (const Plant& plant : plants) {
    if (plant.kind != PlantKind::other_library) continue;
    if (plant.places.front() != host && plant.places.front() != fmt::format("rank{}", rank)) continue;
    const char* const before = std::getenv("LD_LIBRARY_PATH");
    const std::string path = plant.folder + (before == nullptr || *before == '\0' ? "" : fmt::format(":{}", before));
    ::setenv("LD_LIBRARY_PATH", path.c_str(), 1);
    ::setenv(library_mark, plant.folder.c_str(), 1);
    std::vector<std::string> own = arguments;
    std::vector<char*> words;
    for (std::string& one : own) words.push_back(one.data());
    words.push_back(nullptr);
    ::execv("/proc/self/exe", words.data());
    throw Error(ExitCode::infrastructure, "plant", errno, "execv", std::strerror(errno));
  }
}

// ---- what one rank does ----

namespace {

void flip_bit_of(std::byte* element, int bit) noexcept { element[bit / 8] ^= std::byte{1} << (bit % 8); }

/// The bit of an element, whatever its size.
int bit_within(int bit, std::size_t element_bytes) { return bit % static_cast<int>(8 * element_bytes); }

}  // namespace

/// Goes ahead of the real one, from one moment on.
class Planting::JumpingClock final : public Clock {
 public:
  explicit JumpingClock(const Clock& real) : real_(real) {}
  void jump(double seconds) noexcept { ahead_.store(ahead_.load() + seconds); }
  [[nodiscard]] double now() const override { return real_.now() + ahead_.load(std::memory_order_relaxed); }
  void relax() const override { real_.relax(); }

 private:
  const Clock& real_;
  std::atomic<double> ahead_{0.0};  // the telemetry's thread reads it too
};

struct Planting::State {
  State(std::vector<Plant> given, const Clock& real) : plants(std::move(given)), clock(real), jumping(real) {}

  std::vector<Plant> plants;
  const Clock& clock;
  JumpingClock jumping;
  bool jumps = false;
  std::vector<Plant> own;  ///< that this rank has a part in
  /// Of each slow link that this rank is at one end of: the ranks at the other, and what a message takes more.
  std::vector<std::pair<std::vector<int>, double>> links;
  double slowness = 0.0;  ///< so many times its time an operation takes longer
  int number = 0;         ///< of the case
  bool in_gemm = false;
  std::unique_ptr<Device> device;

  [[nodiscard]] const Plant* find(PlantKind kind) const {
    const auto found = std::find_if(own.begin(), own.end(), [&](const Plant& one) { return one.kind == kind; });
    return found == own.end() ? nullptr : &*found;
  }
  /// Null unless it is there in this case.
  [[nodiscard]] const Plant* active(PlantKind kind) const {
    const Plant* const plant = find(kind);
    return plant != nullptr && number >= plant->at_case ? plant : nullptr;
  }
  [[nodiscard]] const Plant* starting(PlantKind kind) const {
    const Plant* const plant = find(kind);
    return plant != nullptr && number == plant->at_case ? plant : nullptr;
  }
};

namespace {

class PlantedWorkload final : public Workload {
 public:
  PlantedWorkload(std::unique_ptr<Workload> real, Planting::State& state)
      : real_(std::move(real)), state_(state), slowness_(state.slowness) {
    for (const auto& [others, more] : state.links) {
      if (std::find(others.begin(), others.end(), real_->partner()) != others.end()) slowness_ += more;
    }
  }

  void prepare() override { real_->prepare(); }
  [[nodiscard]] double delay() const override { return real_->delay(); }
  void step() override {
    if (++steps_ == eventful_step) happen();
    if (!(began_ > 0.0)) began_ = state_.clock.now();
    real_->step();
  }
  void finish() override {
    real_->finish();
    const double now = state_.clock.now();
    const double until = now + slowness_ * (now - std::exchange(began_, 0.0));
    // A rank that is slow works, too: it keeps its core.
    while (slowness_ > 0.0 && state_.clock.now() < until) {
    }
  }
  [[nodiscard]] double device_seconds() override { return (1.0 + slowness_) * real_->device_seconds(); }
  Verification verify() override { return real_->verify(); }
  [[nodiscard]] std::string implementation() const override { return real_->implementation(); }
  [[nodiscard]] bool is_streamed() const override { return real_->is_streamed(); }
  [[nodiscard]] bool is_collective() const override { return real_->is_collective(); }
  [[nodiscard]] bool takes_part() const override { return real_->takes_part(); }
  [[nodiscard]] int partner() const override { return real_->partner(); }

 private:
  void happen() {
    if (const Plant* const plant = state_.starting(PlantKind::clock_jump)) state_.jumping.jump(plant->seconds);
    if (state_.starting(PlantKind::freeze) != nullptr) (void)std::raise(SIGSTOP);
    if (state_.starting(PlantKind::kill) != nullptr) (void)std::raise(SIGKILL);
  }

  std::unique_ptr<Workload> real_;
  Planting::State& state_;
  double slowness_;
  double began_ = 0.0;
  int steps_ = 0;
};

class PlantedCollective final : public Collective {
 public:
  PlantedCollective(std::unique_ptr<Collective> real, Device& device, Planting::State& state)
      : real_(std::move(real)), device_(device), state_(state) {}

  [[nodiscard]] int rank() const override { return real_->rank(); }
  [[nodiscard]] int size() const override { return real_->size(); }
  [[nodiscard]] const mpi::Communicator* ranks() const override { return real_->ranks(); }
  [[nodiscard]] std::string implementation() const override { return real_->implementation(); }

  void all_reduce(const void* send, void* receive, std::size_t count, DataType type, Reduction reduction) override {
    if (state_.active(PlantKind::wrong_sum) == nullptr) return real_->all_reduce(send, receive, count, type, reduction);
    const std::size_t element = size_of(type);
    const std::size_t bytes = std::min(count, wrong_elements) * element;
    std::vector<std::byte> right(bytes);
    device_.synchronize();
    device_.copy_to_host(right.data(), send, bytes);
    std::vector<std::byte> wrong = right;
    for (std::size_t i = 0; i < bytes; i += element) flip_bit_of(&wrong[i], bit_within(bit_of_sums, element));
    // The memory is this program's own; it is const for the library.
    device_.copy_to_device(const_cast<void*>(send), wrong.data(),
                           bytes);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    real_->all_reduce(send, receive, count, type, reduction);
    if (send == receive) return;
    device_.synchronize();
    device_.copy_to_device(const_cast<void*>(send), right.data(),
                           bytes);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  }
  void reduce(const void* send, void* receive, std::size_t count, DataType type, int root,
              Reduction reduction) override {
    real_->reduce(send, receive, count, type, root, reduction);
  }
  void reduce_scatter(const void* send, void* receive, std::size_t count, DataType type, Reduction reduction) override {
    real_->reduce_scatter(send, receive, count, type, reduction);
  }
  void all_gather(const void* send, void* receive, std::size_t count, DataType type) override {
    real_->all_gather(send, receive, count, type);
  }
  void all_to_all(const void* send, void* receive, std::size_t count, DataType type) override {
    real_->all_to_all(send, receive, count, type);
  }
  void broadcast(void* data, std::size_t count, DataType type, int root) override {
    real_->broadcast(data, count, type, root);
  }
  void send_recv(const void* send, int to, void* receive, int from, std::size_t count, DataType type) override {
    real_->send_recv(send, to, receive, from, count, type);
  }
  void barrier() override { real_->barrier(); }
  [[nodiscard]] std::string refuses(DataType type, Reduction reduction) const override {
    return real_->refuses(type, reduction);
  }
  [[nodiscard]] bool can_register() const override { return real_->can_register(); }
  [[nodiscard]] std::unique_ptr<Buffer> allocate_registered(std::size_t bytes) override {
    return real_->allocate_registered(bytes);
  }
  [[nodiscard]] std::string choice() const override { return real_->choice(); }
  [[nodiscard]] bool can_be_recorded() const override { return real_->can_be_recorded(); }
  [[nodiscard]] std::unique_ptr<Collective> split(int color) override {
    return std::make_unique<PlantedCollective>(real_->split(color), device_, state_);
  }

 private:
  std::unique_ptr<Collective> real_;
  Device& device_;
  Planting::State& state_;
};

class PlantedMatmul final : public Matmul {
 public:
  PlantedMatmul(std::unique_ptr<Matmul> real, const MatmulProblem& problem, Device& device,
                const Planting::State& state)
      : real_(std::move(real)), problem_(problem), device_(device), state_(state) {}

  [[nodiscard]] std::size_t weight_bytes() const override { return real_->weight_bytes(); }
  void pack(const void* plain, void* packed) override { real_->pack(plain, packed); }
  [[nodiscard]] std::size_t input_bytes() const override { return real_->input_bytes(); }
  void pack_input(const Quantised& a, void* packed) override { real_->pack_input(a, packed); }
  void pack_weights(const Quantised& b, void* packed) override { real_->pack_weights(b, packed); }
  void run(const void* a, const void* weights, void* c) override {
    real_->run(a, weights, c);
    const Plant* const plant = state_.active(PlantKind::flipped_bit);
    // Elsewhere products may be recorded, where nobody may wait.
    if (plant == nullptr || !state_.in_gemm) return;
    const std::size_t bytes = size_of(problem_.output);
    std::byte* const element =
        static_cast<std::byte*>(c) + static_cast<std::size_t>(problem_.m * problem_.n / 2) * bytes;
    std::array<std::byte, sizeof(double)> value{};
    device_.synchronize();
    device_.copy_to_host(value.data(), element, bytes);
    flip_bit_of(value.data(), bit_within(plant->bit, bytes));
    device_.copy_to_device(element, value.data(), bytes);
    device_.synchronize();
  }
  [[nodiscard]] std::size_t algorithms() const override { return real_->algorithms(); }
  void choose(std::size_t algorithm) override { real_->choose(algorithm); }
  [[nodiscard]] Accumulation accumulation() const override { return real_->accumulation(); }
  [[nodiscard]] std::string implementation() const override { return real_->implementation(); }

 private:
  std::unique_ptr<Matmul> real_;
  MatmulProblem problem_;
  Device& device_;
  const Planting::State& state_;
};

class PlantedDevice final : public Device {
 public:
  PlantedDevice(Device& real, const Planting::State& state) : real_(real), state_(state) {}

  [[nodiscard]] std::string name() const override { return real_.name(); }
  [[nodiscard]] std::string serial() const override { return real_.serial(); }
  [[nodiscard]] std::string id() const override { return real_.id(); }
  [[nodiscard]] std::map<std::string, std::string> facts() const override { return real_.facts(); }
  [[nodiscard]] bool is_fake() const override { return real_.is_fake(); }
  [[nodiscard]] bool is_usable() const override { return real_.is_usable(); }
  [[nodiscard]] int threads() const override { return real_.threads(); }
  [[nodiscard]] std::size_t memory_available() const override { return real_.memory_available(); }
  [[nodiscard]] std::size_t cache_bytes() const override { return real_.cache_bytes(); }
  [[nodiscard]] bool supports(DataType type) const override { return real_.supports(type); }
  [[nodiscard]] std::string refuses(const MatmulProblem& problem) const override { return real_.refuses(problem); }
  [[nodiscard]] std::unique_ptr<Buffer> allocate(std::size_t bytes) override { return real_.allocate(bytes); }
  [[nodiscard]] std::unique_ptr<Buffer> allocate_host(std::size_t bytes) override { return real_.allocate_host(bytes); }
  [[nodiscard]] bool is_coherent_with_host() const override { return real_.is_coherent_with_host(); }
  void copy_to_device(void* device, const void* host, std::size_t bytes) override {
    real_.copy_to_device(device, host, bytes);
  }
  void copy_to_host(void* host, const void* device, std::size_t bytes) override {
    real_.copy_to_host(host, device, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override { real_.copy(to, from, bytes); }
  [[nodiscard]] bool can_checksum() const override { return real_.can_checksum(); }
  void checksum(const void* data, std::size_t bytes, std::uint64_t* sum) override { real_.checksum(data, bytes, sum); }
  [[nodiscard]] bool is_host() const override { return real_.is_host(); }
  [[nodiscard]] std::unique_ptr<Matmul> matmul(const MatmulProblem& problem) override {
    return std::make_unique<PlantedMatmul>(real_.matmul(problem), problem, real_, state_);
  }
  [[nodiscard]] TokenKernels& token_kernels() override { return real_.token_kernels(); }
  void synchronize() override { real_.synchronize(); }
  [[nodiscard]] std::unique_ptr<Recording> record(std::function<void()> work) override {
    return real_.record(std::move(work));
  }
  [[nodiscard]] std::unique_ptr<DeviceTimer> make_timer() override { return real_.make_timer(); }
  [[nodiscard]] std::unique_ptr<TelemetrySource> telemetry() override { return real_.telemetry(); }
  [[nodiscard]] Peaks measure_peaks() override { return real_.measure_peaks(); }

 private:
  Device& real_;
  const Planting::State& state_;
};

bool is_among(const std::vector<int>& ranks, int rank) {
  return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
}

/// 5 % less speed: takes 1 / 0.95 as long.
double longer_by(double lost_share) { return 1.0 / (1.0 - lost_share) - 1.0; }

/// From now on no file of this process grows beyond the size that this one has.
void limit_to_size_of(const std::string& file) {
  std::error_code failure;
  const std::uintmax_t size = std::filesystem::file_size(file, failure);
  if (failure) throw infrastructure_error("--plant full-disk: " + printable(file) + ": " + failure.message());
  rlimit limit{};
  (void)::getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = std::min<rlim_t>(static_cast<rlim_t>(size), limit.rlim_max);
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) {
    throw infrastructure_error(fmt::format("--plant full-disk: setrlimit: {}", std::strerror(errno)));
  }
}

}  // namespace

Planting::Planting(std::vector<Plant> plants, const mpi::Topology& topology, int rank, const Clock& clock)
    : state_(std::make_unique<State>(std::move(plants), clock)) {
  for (const Plant& plant : state_->plants) {
    if (plant.kind == PlantKind::full_disk) {
      if (rank == 0) state_->own.push_back(plant);
      continue;
    }
    std::vector<std::vector<int>> ranks;
    for (const std::string& place : plant.places) ranks.push_back(ranks_at(place, topology));
    if (plant.kind == PlantKind::slow_link) {
      for (const std::size_t end : {std::size_t{0}, std::size_t{1}}) {
        if (is_among(ranks[end], rank)) state_->links.emplace_back(ranks[1 - end], longer_by(plant.share));
      }
      continue;
    }
    if (!is_among(ranks.front(), rank)) continue;
    state_->own.push_back(plant);
    if (plant.kind == PlantKind::slow) state_->slowness += longer_by(plant.share);
    if (plant.kind == PlantKind::clock_jump) state_->jumps = true;
  }
}

Planting::~Planting() = default;

bool Planting::is_empty() const noexcept { return state_->plants.empty(); }

std::string Planting::record() const {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Plant& plant : state_->plants) list.push_back(plant.text);
  return list.dump();
}

const Clock& Planting::clock() const noexcept {
  if (state_->jumps) return state_->jumping;
  return state_->clock;
}

Device& Planting::device(Device& real) {
  if (state_->find(PlantKind::flipped_bit) == nullptr) return real;
  state_->device = std::make_unique<PlantedDevice>(real, *state_);
  return *state_->device;
}

std::unique_ptr<Collective> Planting::collective(std::unique_ptr<Collective> real, Device& device) {
  if (real == nullptr || state_->find(PlantKind::wrong_sum) == nullptr) return real;
  return std::make_unique<PlantedCollective>(std::move(real), device, *state_);
}

std::unique_ptr<Workload> Planting::workload(std::unique_ptr<Workload> real) {
  if (real == nullptr || (state_->own.empty() && state_->links.empty())) return real;
  return std::make_unique<PlantedWorkload>(std::move(real), *state_);
}

void Planting::begin_case(int number, const std::string& suite, const std::string& file) {
  state_->number = number;
  state_->in_gemm = suite == "gemm";
  if (state_->starting(PlantKind::full_disk) != nullptr && !file.empty()) limit_to_size_of(file);
}

}  // namespace rackproof

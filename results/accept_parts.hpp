// Which parts there are in some runs of one rack, and what is held against each. Internal to accept().
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "results/accept.hpp"

namespace rackproof::results {

/// The parts of all attempts. A device is the same in two files where its UUID is, or its serial number if those are
/// there and tell all devices apart in every file; else by its place, host and device id. A node is the same by its
/// host name. Parts are known by a number, the rack by 0.
class PartBook {
 public:
  PartBook(std::span<const ResultFile> attempts, std::size_t most_evidence);

  static constexpr std::size_t rack = 0;
  [[nodiscard]] std::size_t device(std::size_t attempt, int rank) const {
    return device_of_.at(attempt).at(static_cast<std::size_t>(rank));
  }
  /// By the number of the node in that file.
  [[nodiscard]] std::size_t node(std::size_t attempt, int node_index) const {
    return node_of_.at(attempt).at(node_index);
  }
  /// Of two devices, or of two nodes, by their numbers here; made when it is first asked for.
  [[nodiscard]] std::size_t link(std::size_t one, std::size_t other);

  void mark_passed(std::size_t part, std::size_t attempt);
  /// `evidence.attempt` has seen the part.
  void add(std::size_t part, Evidence evidence);
  [[nodiscard]] bool has_failed(std::size_t part, std::size_t attempt) const;

  /// What is known of the files' being of one rack; one line each.
  [[nodiscard]] const std::vector<std::string>& notices() const { return notices_; }
  /// False where no device of some file is in the first.
  [[nodiscard]] bool is_one_rack() const { return one_rack_; }
  /// Verdicts, evidence in order; links that passed are counted and left out.
  void conclude(Acceptance& acceptance);

 private:
  struct Tally {
    bool seen = false;
    std::size_t passed = 0;
    std::size_t failed = 0;
    std::size_t open = 0;
    std::vector<Evidence> evidence{};
    std::size_t more = 0;
    [[nodiscard]] Verdict verdict() const;
  };
  struct Entry {
    Part part;
    std::pair<std::size_t, std::size_t> ends{};  ///< of a link
    std::vector<Tally> attempts{};
    std::vector<std::size_t> nodes{};  ///< of a device: where it is in each attempt; `rack`: it is not there
  };

  void add_ranks(std::size_t attempt, const ResultFile& file);
  void compare_racks(std::span<const ResultFile> attempts);
  void hold_absent_open();
  std::size_t new_entry(Part part);
  void keep_weightiest(Tally& tally) const;
  [[nodiscard]] std::string key_of(const RankHeader& rank) const;
  void name_link(Entry& entry) const;
  Part finished(Entry& entry) const;
  /// A node is as bad as the worst of its devices, in each attempt and over all. `parts`: as the entries.
  void judge_nodes_by_devices(std::vector<Part>& parts) const;

  enum class Identity { uuid, serial, place };
  Identity identity_ = Identity::place;
  std::size_t attempts_;
  std::size_t most_evidence_;
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t> device_by_key_;
  std::map<std::string, std::size_t> node_by_host_;
  std::map<std::pair<std::size_t, std::size_t>, std::size_t> link_by_ends_;
  std::vector<std::vector<std::size_t>> device_of_;  ///< by attempt and rank
  std::vector<std::map<int, std::size_t>> node_of_;  ///< by attempt and node index
  std::vector<std::string> notices_;
  bool one_rack_ = true;
};

/// Fail before inconclusive before pass before not judged.
[[nodiscard]] Verdict worse_of(Verdict one, Verdict other);

// ---- what accept() is made of; each adds to the book what one attempt says ----

/// The medians of a case that every rank does alone.
struct CaseTimes {
  std::size_t suite = 0;
  std::size_t which = 0;
  std::vector<double> seconds;  ///< (R); NaN: not measured, or wrong
};
/// Of all such cases that were measured.
[[nodiscard]] std::vector<CaseTimes> case_times(const ResultFile& file, const KnownRuns* known);

/// A device of a baseline is the same by its UUID, its serial number or its place.
[[nodiscard]] std::string identity_of(const RankHeader& rank);

/// Throws Error (usage) where two files are of the same run.
void refuse_same_runs(std::span<const ResultFile> attempts, std::span<const ResultFile> baseline);

/// Holds the rack open in attempts that lack cases of others.
void judge_missing_cases(std::span<const ResultFile> attempts, PartBook& book);
/// Holds the rack open in attempts that lack cases or devices of the baseline.
void judge_missing_of_baseline(std::span<const ResultFile> attempts, std::span<const ResultFile> baseline,
                               PartBook& book);

/// Devices against others of their kind in the same run. See AcceptOptions.
[[nodiscard]] std::vector<PeerReport> judge_by_peers(const ResultFile& file, std::size_t attempt,
                                                     const std::vector<CaseTimes>& times, const AcceptOptions& options,
                                                     PartBook& book);

/// All attempts against launches that were good. `times`: by attempt.
void judge_by_baseline(std::span<const ResultFile> attempts, std::span<const ResultFile> baseline,
                       const std::vector<std::vector<CaseTimes>>& times, const AcceptOptions& options, PartBook& book,
                       std::vector<std::string>& notices);

}  // namespace rackproof::results

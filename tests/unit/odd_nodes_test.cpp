#include "results/odd_nodes.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace rackproof::results {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Library {
  std::string path;
  std::string build_id;
  std::string version;
};

/// One rank a node.
RunHeader header_of(const std::vector<std::vector<Library>>& nodes) {
  RunHeader header;
  nlohmann::json libraries = nlohmann::json::array();
  for (std::size_t node = 0; node < nodes.size(); ++node) {
    RankHeader rank;
    rank.hostname = "node" + std::to_string(node);
    rank.node_index = static_cast<int>(node);
    header.ranks.push_back(rank);
    nlohmann::json list = nlohmann::json::array();
    for (const Library& one : nodes[node]) {
      list.push_back({{"path", one.path}, {"build_id", one.build_id}, {"version", one.version}});
    }
    libraries.push_back({{"libraries", list}});
  }
  header.provenance["libraries"] = libraries.dump();
  return header;
}

TEST(OddNodes, the_node_with_another_build_is_named_with_both_builds) {
  const Library usual{"/lib/libnccl.so.2.19.3", "aaaaaaaaaaaa", "2.19.3"};
  const Library other{"/opt/libnccl.so.2.18.1", "bbbbbbbbbbbb", "2.18.1"};
  const auto odd = odd_nodes(header_of({{usual}, {usual}, {other}, {usual}}));
  ASSERT_THAT(odd, SizeIs(1));
  EXPECT_EQ(odd.front().hostname, "node2");
  EXPECT_EQ(odd.front().text, "libnccl 2.18.1 (build bbbbbbbb), where 3 of 4 nodes have 2.19.3 (build aaaaaaaa)");
}

TEST(OddNodes, the_same_version_of_another_build_is_another_library) {
  const Library usual{"/lib/libz.so.1", "aa", "1.2.13"};
  const Library other{"/lib/libz.so.1", "bb", "1.2.13"};
  EXPECT_THAT(odd_nodes(header_of({{other}, {usual}, {usual}})), SizeIs(1));
}

TEST(OddNodes, a_version_in_the_name_of_the_file_is_no_other_library) {
  const Library usual{"/lib/libopenblasp-r0.3.21.so", "aa", "0.3.21"};
  const Library other{"/lib/libopenblasp-r0.3.26.so", "bb", "0.3.26"};
  const auto odd = odd_nodes(header_of({{usual}, {usual}, {usual}, {other}}));
  ASSERT_THAT(odd, SizeIs(1));
  EXPECT_THAT(odd.front().text, HasSubstr("libopenblasp 0.3.26"));
}

TEST(OddNodes, a_library_that_a_node_has_not_loaded_is_no_difference) {
  const Library one{"/lib/mca_btl_tcp.so", "aa", ""};
  EXPECT_THAT(odd_nodes(header_of({{one}, {one}, {}, {one}})), IsEmpty());
}

TEST(OddNodes, where_no_half_agrees_nobody_is_named_but_it_is_said) {
  const Library one{"/lib/libz.so.1", "aa", ""};
  const Library other{"/lib/libz.so.1", "bb", ""};
  std::vector<std::string> undecided;
  EXPECT_THAT(odd_nodes(header_of({{one}, {other}}), &undecided), IsEmpty());
  ASSERT_THAT(undecided, SizeIs(1));
  EXPECT_THAT(undecided.front(), HasSubstr("libz"));
}

TEST(OddNodes, what_is_not_understood_accuses_nobody) {
  RunHeader header = header_of({{}, {}, {}});
  for (const char* text : {"", "{", "3", "[1,2,3]", R"([{"libraries":3}])", R"([{"libraries":[{"path":1}]}])"}) {
    header.provenance["libraries"] = text;
    EXPECT_THAT(odd_nodes(header), IsEmpty()) << text;
  }
}

TEST(OddNodes, a_node_that_no_rank_is_on_is_not_named) {
  const Library usual{"/lib/libz.so.1", "aa", ""};
  const Library other{"/lib/libz.so.1", "bb", ""};
  RunHeader header = header_of({{usual}, {usual}, {other}});
  header.ranks.pop_back();
  EXPECT_THAT(odd_nodes(header), IsEmpty());
}

}  // namespace
}  // namespace rackproof::results

#include "results/table.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace rackproof::results {
namespace {

using Align = Table::Align;

TEST(Table, lines_columns_up) {
  Table table({{"case", "", Align::left}, {"rate", "TFLOP/s", Align::right}});
  table.add_row({"a", "1.5"});
  table.add_row({"gemm/bf16", "1234"});
  EXPECT_EQ(table.render(),
            "case          rate\n"
            "           TFLOP/s\n"
            "---------  -------\n"
            "a              1.5\n"
            "gemm/bf16     1234\n");
  EXPECT_EQ(table.width(), 18U);
}

TEST(Table, leaves_the_line_of_units_out_where_there_are_none) {
  Table table({{"a", "", Align::right}});
  table.add_row({"1"});
  EXPECT_EQ(table.render(), "a\n-\n1\n");
}

TEST(Table, counts_columns_of_the_terminal_not_bytes) {
  EXPECT_EQ(display_width("nöde"), 4U);
  EXPECT_EQ(display_width("機器"), 4U);
  EXPECT_EQ(display_width("e\u0301"), 1U);
  EXPECT_EQ(display_width("\U0001F680"), 2U);
  EXPECT_EQ(display_width(""), 0U);
  Table table({{"host", "", Align::left}, {"x", "", Align::right}});
  table.add_row({"nöde", "1"});
  table.add_row({"機器-1", "2"});
  EXPECT_EQ(table.render(),
            "host    x\n"
            "------  -\n"
            "nöde    1\n"
            "機器-1  2\n");
}

TEST(Table, fills_missing_cells_and_leaves_no_space_at_the_end_of_a_line) {
  Table table({{"case", "", Align::left}, {"status", "", Align::left}, {"time", "", Align::right}});
  table.add_row({"a", "SKIPPED"});
  table.add_row({"b", "PASSED", "1 s", "too many"});
  EXPECT_EQ(table.rows(), 2U);
  EXPECT_EQ(table.render(),
            "case  status   time\n"
            "----  -------  ----\n"
            "a     SKIPPED\n"
            "b     PASSED    1 s\n");
}

TEST(Table, wraps_notes_without_widening_a_column) {
  Table table({{"case", "", Align::left}});
  table.add_row({"a"});
  table.add_note("one two three four five six seven eight nine ten");
  EXPECT_EQ(table.render(30),
            "case\n"
            "----\n"
            "a\n"
            "    one two three four five\n"
            "    six seven eight nine ten\n");
  EXPECT_EQ(table.width(), 4U);
}

TEST(Wrap, breaks_at_spaces_and_inside_words_that_are_too_long) {
  EXPECT_EQ(wrap("", 5), (std::vector<std::string>{""}));
  EXPECT_EQ(wrap("ab cd ef", 5), (std::vector<std::string>{"ab cd", "ef"}));
  EXPECT_EQ(wrap("abcdefgh", 3), (std::vector<std::string>{"abc", "def", "gh"}));
  EXPECT_EQ(wrap("äöü äöü", 4), (std::vector<std::string>{"äöü", "äöü"}));
  EXPECT_EQ(wrap("機器機器", 5), (std::vector<std::string>{"機器", "機器"}));
}

}  // namespace
}  // namespace rackproof::results

#include "results/html.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rackproof::results {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(HtmlText, markup_and_quotes_become_references) {
  EXPECT_EQ(html_text(R"(<script>alert("1" & '2')</script>)"),
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;");
}

TEST(HtmlText, control_characters_and_invalid_utf_8_become_question_marks) {
  EXPECT_EQ(html_text(std::string("a\0b\x1b[31m\x7f\n", 10)), "a?b?[31m??");
  EXPECT_EQ(html_text("ok \xff\xfe \xc3\x28 z\xc3\xbcrich"), "ok ?? ?( zürich");
  EXPECT_EQ(html_text("\xe2\x80\xae"), "???") << "text that runs backwards";
}

TEST(HtmlText, is_cut_before_it_is_escaped) {
  EXPECT_EQ(html_text("<<<<", 2), "&lt;&lt;...");
  EXPECT_EQ(html_text(std::string(1000, '&'), 1000).size(), 5000U);
}

TEST(HtmlLines, keeps_lines_and_nothing_else_that_is_no_text) {
  EXPECT_EQ(html_lines("a\t<b>\n\x01\nend", 100), "a &lt;b&gt;\n?\nend\n");
  EXPECT_EQ(html_lines("abcdef", 3), "abc\n...\n");
}

TEST(HtmlTable, escapes_headings_caption_and_text_cells) {
  HtmlTable table("<i>caption</i>", {{"<b>name", "\"unit\"", false}, {"n"}});
  table.add_row({HtmlTable::Cell::text("<td>"), HtmlTable::Cell::number("1 & 2", 1.5)}, "bad\" onclick=\"x");
  const std::string html = table.render();
  EXPECT_THAT(html, HasSubstr("&lt;i&gt;caption"));
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;name <small>&quot;unit&quot;</small>"));
  EXPECT_THAT(html, HasSubstr(">&lt;td&gt;</th>"));
  EXPECT_THAT(html, HasSubstr(R"(data-key="1.5">1 &amp; 2</td>)"));
  EXPECT_THAT(html, Not(HasSubstr("onclick=\"x")));
}

TEST(HtmlTable, fills_missing_cells_and_gives_no_key_to_what_is_no_number) {
  HtmlTable table("t", {{"a"}, {"b"}, {"c"}});
  table.add_row({HtmlTable::Cell::number("-", std::numeric_limits<double>::quiet_NaN())});
  const std::string html = table.render();
  EXPECT_THAT(html, Not(HasSubstr("data-key")));
  EXPECT_THAT(html, HasSubstr("<td class=\"n\"></td><td class=\"n\"></td></tr>"));
}

}  // namespace
}  // namespace rackproof::results

// Shapes of models: parameter counts, the arithmetic of work and memory, files, and weights that do not depend on how
// many ranks share them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/core/bfloat16.hpp"
#include "common/core/error.hpp"
#include "suites/tokens/model_shape.hpp"
#include "suites/tokens/weights.hpp"

namespace rackproof::tokens {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Model, presets_have_the_published_numbers_of_parameters) {
  EXPECT_EQ(find_shape("llama-100m").parameters(), 100092672.0);
  EXPECT_NEAR(find_shape("llama-3-8b").parameters(), 8.03e9, 0.005e9);
  EXPECT_NEAR(find_shape("llama-3-70b").parameters(), 70.55e9, 0.005e9);
  EXPECT_NEAR(find_shape("llama-3.1-405b").parameters(), 405.85e9, 0.005e9);
}

TEST(Model, presets_cache_the_published_bytes_a_token) {
  EXPECT_EQ(find_shape("llama-100m").kv_bytes_per_token(DataType::bf16), 12288.0);
  EXPECT_EQ(find_shape("llama-3-8b").kv_bytes_per_token(DataType::bf16), 131072.0);
  EXPECT_EQ(find_shape("llama-3-70b").kv_bytes_per_token(DataType::bf16), 327680.0);
  EXPECT_EQ(find_shape("llama-3.1-405b").kv_bytes_per_token(DataType::bf16), 516096.0);
}

TEST(Model, prefill_is_its_decode_steps_with_one_head_instead_of_one_a_token) {
  for (const ModelShape& shape : preset_shapes()) {
    double steps = 0.0;
    for (int context = 0; context < 17; ++context) steps += decode_flop(shape, 3, context);
    const double heads_left_out = 3.0 * 16.0 * 2.0 * shape.head_parameters();
    EXPECT_NEAR(prefill_flop(shape, 3, 17.0), steps - heads_left_out, 1e-9 * steps) << shape.name;
  }
}

TEST(Model, work_of_llama_100m_is_what_its_matrices_say) {
  const ModelShape shape = find_shape("llama-100m");
  const double layers = 12.0 * (768.0 * (768 + 2 * 256) + 768.0 * 768 + 3.0 * 768 * 2048);
  const double head = 32000.0 * 768;
  EXPECT_EQ(decode_flop(shape, 1, 0.0), 2.0 * (layers + head) + 4.0 * 12 * 768);
  EXPECT_EQ(active_weight_bytes(shape, DataType::bf16), 2.0 * (layers + head));
  EXPECT_EQ(decode_bytes(shape, DataType::bf16, 2, 99.0), 2.0 * (layers + head) + 2.0 * 100 * 12288);
  EXPECT_EQ(prefill_bytes(shape, DataType::bf16, 2, 100.0), 2.0 * (layers + head) + 2.0 * 2 * 100 * 12288);
}

TEST(Model, tensor_parallelism_divides_the_memory_of_a_rank) {
  const ModelShape shape = find_shape("llama-3-8b");
  const Launch one{.type = DataType::bf16, .tp = 1, .batch = 1, .capacity = 4096, .rows = 128};
  Launch four = one;
  four.tp = 4;
  const Memory whole = memory_needed(shape, one);
  const Memory part = memory_needed(shape, four);
  EXPECT_GT(whole.weights, 16.0e9);
  EXPECT_NEAR(part.weights, whole.weights / 4.0, 0.01 * part.weights);
  EXPECT_NEAR(part.cache, whole.cache / 4.0, 0.02 * part.cache);
  EXPECT_LT(part.activations, whole.activations);
  EXPECT_EQ(whole.total(), whole.weights + whole.cache + whole.activations + whole.staging);
}

TEST(Model, the_first_number_that_ranks_cannot_share_is_named) {
  const ModelShape shape = find_shape("llama-100m");
  EXPECT_EQ(indivisible_by(shape, 4), "");
  EXPECT_EQ(indivisible_by(shape, 5), "12 heads");
  EXPECT_EQ(indivisible_by(shape, 12), "4 key and value heads");
  ModelShape odd = shape;
  odd.ffn = 2049;
  EXPECT_EQ(indivisible_by(odd, 2), "feed-forward width 2049");
  odd = shape;
  odd.vocabulary = 32001;
  EXPECT_EQ(indivisible_by(odd, 2), "vocabulary of 32001");
}

TEST(Model, an_unknown_name_lists_the_presets) {
  EXPECT_THAT(message_of([] { (void)find_shape("lama"); }),
              AllOf(HasSubstr("'lama'"), HasSubstr("tiny, llama-100m, llama-3-8b"), HasSubstr(".toml")));
}

constexpr const char* good =
    "name = 'mine'\nlayers = 3\nhidden = 96\nheads = 6\nkv_heads = 2\nhead_dim = 32\nffn = 100\nvocabulary = 1000\n";

TEST(Model, a_file_describes_a_shape) {
  const ModelShape shape =
      parse_shape(std::string(good) + "tied = true\nrope_theta = 10000\nnorm_epsilon = 1e-6\n", "mine.toml");
  EXPECT_EQ(shape.name, "mine");
  EXPECT_EQ(shape.layers, 3);
  EXPECT_EQ(shape.hidden, 96);
  EXPECT_EQ(shape.heads, 6);
  EXPECT_EQ(shape.kv_heads, 2);
  EXPECT_EQ(shape.head_dim, 32);
  EXPECT_EQ(shape.ffn, 100);
  EXPECT_EQ(shape.vocabulary, 1000);
  EXPECT_TRUE(shape.tied);
  EXPECT_EQ(shape.rope_theta, 10000.0);
  EXPECT_EQ(shape.norm_epsilon, 1e-6);
  EXPECT_FALSE(parse_shape(good, "mine.toml").tied);
}

TEST(Model, a_bad_file_is_named_with_its_fault) {
  const auto fault = [](const std::string& text) { return message_of([&] { (void)parse_shape(text, "mine.toml"); }); };
  const auto with = [](const std::string& line) {
    const std::string key = line.substr(0, line.find(' ') + 1);
    std::string text = good;
    const std::size_t at = text.find("\n" + key) == std::string::npos ? 0 : text.find("\n" + key) + 1;
    return text.replace(at, text.find('\n', at) - at, line);
  };
  EXPECT_THAT(fault("name = \nlayers"), AllOf(HasSubstr("'mine.toml'"), HasSubstr("line 1")));
  EXPECT_THAT(fault(std::string(good) + "experts = 8\n"), HasSubstr("unknown key 'experts'"));
  EXPECT_THAT(fault("name = 'mine'"), HasSubstr("needs a whole number 'layers'"));
  EXPECT_THAT(fault(with("layers = 2.5")), HasSubstr("needs a whole number 'layers'"));
  EXPECT_THAT(fault(with("layers = 0")), HasSubstr("layers must be 1 to 10000"));
  EXPECT_THAT(fault(with("hidden = -64")), HasSubstr("hidden must be"));
  EXPECT_THAT(fault(with("heads = 7")), HasSubstr("multiple of kv_heads"));
  EXPECT_THAT(fault(with("kv_heads = 0")), HasSubstr("kv_heads must be"));
  EXPECT_THAT(fault(with("head_dim = 24")), HasSubstr("multiple of 16"));
  EXPECT_THAT(fault(with("head_dim = 512")), HasSubstr("at most 256"));
  EXPECT_THAT(fault(with("vocabulary = 9223372036854775807")), HasSubstr("vocabulary must be"));
  EXPECT_THAT(fault(with("name = '../x y'")), HasSubstr("the name '../x y'"));
  EXPECT_THAT(fault(with("name = 'tiny'")), HasSubstr("that of a preset"));
  EXPECT_THAT(fault(with("name = 7")), HasSubstr("needs a text 'name'"));
  EXPECT_THAT(fault(std::string(good) + "tied = 1\n"), HasSubstr("'tied' must be true or false"));
  EXPECT_THAT(fault(std::string(good) + "rope_theta = nan\n"), HasSubstr("rope_theta must be"));
  EXPECT_THAT(fault(std::string(good) + "norm_epsilon = 'x'\n"), HasSubstr("'norm_epsilon' must be a number"));
}

TEST(Model, a_file_that_cannot_be_read_or_is_far_too_large_is_refused) {
  EXPECT_THAT(message_of([] { (void)find_shape("/nonexistent/mine.toml"); }), HasSubstr("cannot be read"));
  const auto folder = std::filesystem::temp_directory_path() / "rackproof_model_test.toml";
  std::filesystem::create_directory(folder);
  EXPECT_THAT(message_of([&] { (void)find_shape(folder.string()); }), HasSubstr("cannot be read"));
  std::filesystem::remove(folder);
  std::ofstream(folder) << std::string(100000, '#');
  EXPECT_THAT(message_of([&] { (void)find_shape(folder.string()); }), HasSubstr("larger than 64 KiB"));
  std::ofstream(folder) << good;
  EXPECT_EQ(find_shape(folder.string()).name, "mine");
  std::filesystem::remove(folder);
}

TEST(Weights, a_shard_is_the_same_numbers_as_its_part_of_the_whole) {
  const ModelShape shape = find_shape("tiny");
  const WeightSource source(shape, 7);
  for (const DataType type : {DataType::f32, DataType::bf16}) {
    const std::vector<double> whole = source.whole(Tensor::gate, 1, type);
    for (const int threads : {1, 3}) {
      const std::int64_t first_row = 10;
      const std::int64_t rows = 21;
      const std::int64_t columns = shape.ffn / 4;
      const std::int64_t stride = columns + 5;
      std::vector<float> f32(static_cast<std::size_t>(rows * stride), 77.0F);
      std::vector<bf16_bits> bf16(f32.size());
      void* to = type == DataType::f32 ? static_cast<void*>(f32.data()) : bf16.data();
      source.fill({Tensor::gate, 1, first_row, rows, 3 * columns, columns}, type, to, stride, threads);
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t column = 0; column < columns; ++column) {
          const auto at = static_cast<std::size_t>(row * stride + column);
          const double got = type == DataType::f32 ? f32[at] : from_bf16(bf16[at]);
          ASSERT_EQ(got, whole[static_cast<std::size_t>((first_row + row) * shape.ffn + 3 * columns + column)]);
        }
      }
      if (type == DataType::f32) {
        EXPECT_EQ(f32[static_cast<std::size_t>(columns)], 77.0F) << "beyond the shard";
      }
    }
  }
}

TEST(Weights, tensors_layers_and_seeds_differ_and_a_tied_head_is_the_embedding) {
  const ModelShape shape = find_shape("tiny");
  const WeightSource source(shape, 7);
  const auto weights = [&](Tensor tensor, std::int64_t layer) { return source.whole(tensor, layer, DataType::f32); };
  EXPECT_NE(weights(Tensor::gate, 0), weights(Tensor::up, 0));
  EXPECT_NE(weights(Tensor::gate, 0), weights(Tensor::gate, 1));
  EXPECT_NE(weights(Tensor::gate, 0), WeightSource(shape, 8).whole(Tensor::gate, 0, DataType::f32));
  EXPECT_NE(weights(Tensor::head, 0), weights(Tensor::embedding, 0));
  ModelShape tied = shape;
  tied.tied = true;
  EXPECT_EQ(WeightSource(tied, 7).whole(Tensor::head, 0, DataType::f32), weights(Tensor::embedding, 0));
}

TEST(Weights, matrices_keep_the_size_of_what_passes_through_them) {
  const ModelShape shape = find_shape("tiny");
  const WeightSource source(shape, 7);
  const auto deviation = [&](Tensor tensor) {
    double squares = 0.0;
    const std::vector<double> values = source.whole(tensor, 0, DataType::f32);
    for (const double value : values) squares += value * value;
    return std::sqrt(squares / static_cast<double>(values.size()));
  };
  EXPECT_NEAR(deviation(Tensor::query), 1.0 / 8.0, 0.005);                    // hidden 64
  EXPECT_NEAR(deviation(Tensor::down), 1.0 / std::sqrt(192.0) / 2.0, 0.002);  // ffn 192, 2 layers
  EXPECT_NEAR(deviation(Tensor::embedding), 1.0 / 8.0, 0.005);
  for (const float weight : source.norm(Tensor::mlp_norm, 1)) EXPECT_NEAR(weight, 1.0F, 0.4F);
}

TEST(Prompt, tokens_are_seeded_lie_in_the_vocabulary_and_differ_between_sequences) {
  const ModelShape shape = find_shape("tiny");
  const std::vector<std::int32_t> prompt = make_prompt(shape, 1, 0, 1000);
  EXPECT_EQ(prompt, make_prompt(shape, 1, 0, 1000));
  EXPECT_NE(prompt, make_prompt(shape, 1, 1, 1000));
  EXPECT_NE(prompt, make_prompt(shape, 2, 0, 1000));
  for (const std::int32_t token : prompt) {
    EXPECT_GE(token, 0);
    EXPECT_LT(token, shape.vocabulary);
  }
}

}  // namespace
}  // namespace rackproof::tokens

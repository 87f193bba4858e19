#include "suites/tokens/model_shape.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>

#include "common/backends/token_kernels.hpp"
#include "common/core/error.hpp"

namespace rackproof::tokens {
namespace {

double real(std::int64_t value) { return static_cast<double>(value); }

/// What any shape must keep, from a file or not: what the kernels take, and sizes whose products stay far from 2^63.
std::string fault_of(const ModelShape& shape) {
  const auto outside = [](std::int64_t value, std::int64_t low, std::int64_t high) {
    return value < low || value > high;
  };
  if (outside(shape.layers, 1, 10000)) return "layers must be 1 to 10000";
  if (outside(shape.hidden, 16, 1 << 20)) return "hidden must be 16 to 1048576";
  if (outside(shape.heads, 1, 65536)) return "heads must be 1 to 65536";
  if (outside(shape.kv_heads, 1, shape.heads)) return "kv_heads must be 1 to heads";
  if (shape.heads % shape.kv_heads != 0) return "heads must be a multiple of kv_heads";
  if (outside(shape.head_dim, 16, max_head_dim) || shape.head_dim % 16 != 0) {
    return fmt::format("head_dim must be a multiple of 16, at most {}", max_head_dim);
  }
  if (outside(shape.ffn, 1, 1 << 24)) return "ffn must be 1 to 16777216";
  if (outside(shape.vocabulary, 2, 1 << 24)) return "vocabulary must be 2 to 16777216";
  if (!(shape.rope_theta >= 1.0 && shape.rope_theta <= 1e12)) return "rope_theta must be 1 to 1e12";
  if (!(shape.norm_epsilon > 0.0 && shape.norm_epsilon <= 1.0)) return "norm_epsilon must be above 0, at most 1";
  return {};
}

std::string preset_names() {
  std::string names;
  for (const ModelShape& shape : preset_shapes()) names += (names.empty() ? "" : ", ") + shape.name;
  return names;
}

}  // namespace

double ModelShape::layer_parameters() const {
  const double attention = real(hidden) * real(head_dim) * real(2 * heads + 2 * kv_heads);
  return real(layers) * (attention + 3.0 * real(hidden) * real(ffn));
}

double ModelShape::head_parameters() const { return real(vocabulary) * real(hidden); }

double ModelShape::parameters() const {
  const double norms = real(2 * layers + 1) * real(hidden);
  return layer_parameters() + norms + head_parameters() * (tied ? 1.0 : 2.0);
}

double ModelShape::kv_bytes_per_token(DataType type) const {
  return 2.0 * real(layers) * real(kv_heads) * real(head_dim) * real(static_cast<std::int64_t>(size_of(type)));
}

const std::vector<ModelShape>& preset_shapes() {
  // Shapes of the Llama 3 models: Grattafiori et al., The Llama 3 herd of models, 2024, table 3.
  static const std::vector<ModelShape> shapes{
      {"tiny", 2, 64, 8, 4, 16, 192, 512, false},
      {"llama-100m", 12, 768, 12, 4, 64, 2048, 32000, true, 10000.0},
      {"llama-3-8b", 32, 4096, 32, 8, 128, 14336, 128256, false},
      {"llama-3-70b", 80, 8192, 64, 8, 128, 28672, 128256, false},
      {"llama-3.1-405b", 126, 16384, 128, 8, 128, 53248, 128256, false},
  };
  return shapes;
}

ModelShape parse_shape(const std::string& text, const std::string& file) {
  const std::string where = fmt::format("the model file '{}'", printable(file));
  toml::table table;
  try {
    table = toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    throw usage_error(fmt::format("{}, line {}: {}", where, error.source().begin.line, printable(error.description())));
  }
  static const std::set<std::string, std::less<>> known{"name",       "layers",     "hidden",      "heads",
                                                        "kv_heads",   "head_dim",   "ffn",         "tied",
                                                        "vocabulary", "rope_theta", "norm_epsilon"};
  for (const auto& [key, value] : table) {
    if (known.count(key.str()) == 0) {
      throw usage_error(
          fmt::format("{} has an unknown key '{}'; known are name, layers, hidden, heads, kv_heads, "
                      "head_dim, ffn, vocabulary, tied, rope_theta and norm_epsilon",
                      where, printable(key.str())));
    }
  }
  const auto integer = [&](std::string_view key) {
    const auto* node = table.get(key);
    if (node == nullptr || !node->is_integer())
      throw usage_error(fmt::format("{} needs a whole number '{}'", where, key));
    return **node->as_integer();
  };
  const auto real_or = [&](std::string_view key, double otherwise) {
    const auto* node = table.get(key);
    if (node == nullptr) return otherwise;
    if (!node->is_number()) throw usage_error(fmt::format("in {}, '{}' must be a number", where, key));
    return *node->value<double>();
  };
  ModelShape shape;
  const auto* name = table.get("name");
  if (name == nullptr || !name->is_string()) throw usage_error(fmt::format("{} needs a text 'name'", where));
  shape.name = **name->as_string();
  const bool plain = !shape.name.empty() && shape.name.size() <= 64 &&
                     shape.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-_") == std::string::npos;
  if (!plain) {
    throw usage_error(fmt::format("in {}, the name '{}' must be 1 to 64 of a-z, 0-9, '.', '-' and '_'", where,
                                  printable(shape.name)));
  }
  const auto& presets = preset_shapes();
  if (std::any_of(presets.begin(), presets.end(),
                  [&](const ModelShape& preset) { return preset.name == shape.name; })) {
    throw usage_error(fmt::format("in {}, the name '{}' is that of a preset; choose another", where, shape.name));
  }
  shape.layers = integer("layers");
  shape.hidden = integer("hidden");
  shape.heads = integer("heads");
  shape.kv_heads = integer("kv_heads");
  shape.head_dim = integer("head_dim");
  shape.ffn = integer("ffn");
  shape.vocabulary = integer("vocabulary");
  if (const auto* tied = table.get("tied"); tied != nullptr) {
    if (!tied->is_boolean()) throw usage_error(fmt::format("in {}, 'tied' must be true or false", where));
    shape.tied = **tied->as_boolean();
  }
  shape.rope_theta = real_or("rope_theta", shape.rope_theta);
  shape.norm_epsilon = real_or("norm_epsilon", shape.norm_epsilon);
  if (const std::string fault = fault_of(shape); !fault.empty())
    throw usage_error(fmt::format("in {}, {}", where, fault));
  return shape;
}

ModelShape find_shape(const std::string& name_or_file) {
  for (const ModelShape& shape : preset_shapes()) {
    if (shape.name == name_or_file) return shape;
  }
  if (!name_or_file.ends_with(".toml")) {
    throw usage_error(fmt::format("unknown model '{}'; choose one of {}, or give a FILE.toml with a shape of its own",
                                  printable(name_or_file), preset_names()));
  }
  constexpr std::size_t limit = 1 << 16;  // a shape is a dozen lines
  std::error_code ignored;
  const bool regular = std::filesystem::is_regular_file(name_or_file, ignored);
  std::ifstream file;
  if (regular) file.open(name_or_file, std::ios::binary);  // opening a pipe would wait for its other end
  std::string text(limit + 1, '\0');
  if (!regular || !file) {
    throw usage_error(fmt::format("the model file '{}' cannot be read; check the path (every node must see it)",
                                  printable(name_or_file)));
  }
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > limit) {
    throw usage_error(
        fmt::format("the model file '{}' is larger than 64 KiB and cannot be a shape", printable(name_or_file)));
  }
  return parse_shape(text, name_or_file);
}

std::string indivisible_by(const ModelShape& shape, std::int64_t tp) {
  if (shape.heads % tp != 0) return fmt::format("{} heads", shape.heads);
  if (shape.kv_heads % tp != 0) return fmt::format("{} key and value heads", shape.kv_heads);
  if (shape.ffn % tp != 0) return fmt::format("feed-forward width {}", shape.ffn);
  if (shape.vocabulary % tp != 0) return fmt::format("vocabulary of {}", shape.vocabulary);
  return {};
}

Memory memory_needed(const ModelShape& shape, const Launch& launch) {
  const double element = real(static_cast<std::int64_t>(size_of(launch.type)));
  const double tp = real(launch.tp);
  const double rows = real(launch.rows);
  const double heads = real(shape.heads) * real(shape.head_dim) / tp;
  const double kv_heads = real(shape.kv_heads) * real(shape.head_dim) / tp;
  const double ffn = real(shape.ffn) / tp;
  Memory memory;
  memory.weights = (shape.layer_parameters() + shape.head_parameters() * (shape.tied ? 1.0 : 2.0)) / tp * element +
                   real(2 * shape.layers + 1) * real(shape.hidden) * 4.0;
  memory.cache = shape.kv_bytes_per_token(launch.type) / tp * real(launch.batch) * real(launch.capacity) +
                 real(launch.capacity) * real(shape.head_dim) * 4.0;
  // As engine.cpp allocates them: residual, delta, queries with keys and values, gate with up in f32; the inputs of
  // the four products in the model's type; the logits.
  memory.activations = rows * (4.0 * (2.0 * real(shape.hidden) + heads + 2.0 * kv_heads + 2.0 * ffn) +
                               element * (real(shape.hidden) + heads + ffn)) +
                       real(launch.batch) * (4.0 * real(shape.vocabulary) / tp + element * real(shape.hidden));
  const double widest = std::max({heads + 2.0 * kv_heads, 2.0 * ffn, real(shape.vocabulary) / tp});
  memory.staging = 2.0 * widest * real(shape.hidden) * element;
  return memory;
}

double prefill_flop(const ModelShape& shape, std::int64_t batch, double prompt) {
  const double attention =
      2.0 * real(shape.layers) * real(shape.heads) * real(shape.head_dim) * prompt * (prompt + 1.0);
  return real(batch) * (2.0 * shape.layer_parameters() * prompt + 2.0 * shape.head_parameters() + attention);
}

double decode_flop(const ModelShape& shape, std::int64_t batch, double context) {
  const double attention = 4.0 * real(shape.layers) * real(shape.heads) * real(shape.head_dim) * (context + 1.0);
  return real(batch) * (2.0 * (shape.layer_parameters() + shape.head_parameters()) + attention);
}

double active_weight_bytes(const ModelShape& shape, DataType type) {
  return (shape.layer_parameters() + shape.head_parameters()) * real(static_cast<std::int64_t>(size_of(type)));
}

double decode_bytes(const ModelShape& shape, DataType type, std::int64_t batch, double context) {
  return active_weight_bytes(shape, type) + real(batch) * (context + 1.0) * shape.kv_bytes_per_token(type);
}

double prefill_bytes(const ModelShape& shape, DataType type, std::int64_t batch, double prompt) {
  return active_weight_bytes(shape, type) + 2.0 * real(batch) * prompt * shape.kv_bytes_per_token(type);
}

}  // namespace rackproof::tokens

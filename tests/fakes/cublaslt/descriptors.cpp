#include "tests/fakes/cublaslt/descriptors.hpp"

#include <algorithm>

namespace rackproof::fake_lt {
namespace {

constexpr std::int32_t unset = -1;

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

bool is_f8(cudaDataType_t type) { return type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2; }

bool is_f4([[maybe_unused]] cudaDataType_t type) {
#if CUBLAS_VERSION >= 120800
  return type == CUDA_R_4F_E2M1;
#else
  return false;
#endif
}

std::int64_t bits_of(cudaDataType_t type) {
  if (is_f4(type)) return 4;
  switch (type) {
    case CUDA_R_64F:
      return 64;
    case CUDA_R_32F:
    case CUDA_R_32I:
      return 32;
    case CUDA_R_16F:
    case CUDA_R_16BF:
      return 16;
    default:
      return 8;
  }
}

bool fits(const Layout& layout) {
  const std::int64_t least = layout.order == CUBLASLT_ORDER_ROW ? layout.columns : layout.rows;
  return layout.rows > 0 && layout.columns > 0 && layout.leading >= least && layout.batch >= 1;
}

bool shapes_agree(const Product& product) {
  return product.k() == product.k_of_b() && product.d.rows == product.m() && product.d.columns == product.n() &&
         product.c.rows == product.d.rows && product.c.columns == product.d.columns &&
         product.c.type == product.d.type && product.a.batch == product.d.batch && product.b.batch == product.d.batch &&
         product.c.batch == product.d.batch;
}

/// Table 1 of cublasLtMatmul(), real types.
bool has_plain(const Product& product) {
  const cudaDataType_t in = product.a.type;
  const cudaDataType_t out = product.d.type;
  if (in != product.b.type) return false;
  switch (product.compute) {
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      return product.scale_type == CUDA_R_64F && in == CUDA_R_64F && out == CUDA_R_64F;
    case CUBLAS_COMPUTE_32I:
    case CUBLAS_COMPUTE_32I_PEDANTIC:
      return product.scale_type == CUDA_R_32I && in == CUDA_R_8I && out == CUDA_R_32I;
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      return product.scale_type == CUDA_R_32F && in == CUDA_R_32F && out == CUDA_R_32F;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      return product.scale_type == CUDA_R_32F && (in == CUDA_R_32F || in == CUDA_R_16F || in == CUDA_R_16BF) &&
             (out == CUDA_R_32F || out == in);
    default:
      return false;
  }
}

int least_capability(const Product& product) {
  if (product.a.type == CUDA_R_16BF || product.compute == CUBLAS_COMPUTE_32F_FAST_TF32) return 80;
  if (product.a.type == CUDA_R_8I) return 75;
  return 0;
}

bool multiples(const Product& product, std::int64_t bits) {
  const auto whole = [bits](const Layout& layout) {
    const std::int64_t along = layout.order == CUBLASLT_ORDER_ROW ? layout.columns : layout.rows;
    return layout.leading * bits_of(layout.type) % bits == 0 && along * bits_of(layout.type) % bits == 0;
  };
  return whole(product.a) && whole(product.b) && whole(product.c) && whole(product.d);
}

bool is_tn(const Product& product) { return product.transposed_a && !product.transposed_b; }

cublasStatus_t when(bool condition) { return condition ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED; }

/// "IMMA kernels", with regular data ordering.
cublasStatus_t judge_i8(const Product& product) {
  const bool sizes = product.m() % 4 == 0 && product.k() % 4 == 0 && product.a.leading % 4 == 0 &&
                     product.b.leading % 4 == 0 && product.d.leading % 4 == 0;
  return when(is_tn(product) && sizes && product.epilogue == CUBLASLT_EPILOGUE_DEFAULT);
}

/// "Scaling Mode Support Overview".
bool chip_has_scales([[maybe_unused]] const Product& product, [[maybe_unused]] int capability) {
  const std::int32_t a = product.scale_a.mode;
  const std::int32_t b = product.scale_b.mode;
  if (a == 0 && b == 0) return is_f8(product.a.type);
#if CUBLAS_VERSION >= 120800
  if (a == CUBLASLT_MATMUL_MATRIX_SCALE_VEC16_UE4M3 && b == a) return is_f4(product.a.type) && capability >= 100;
  if (a == CUBLASLT_MATMUL_MATRIX_SCALE_VEC32_UE8M0 && b == a) return is_f8(product.a.type) && capability >= 100;
#endif
#if CUBLAS_VERSION >= 120900
  if (a == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F && b == a) return is_f8(product.a.type) && capability >= 90;
  const auto block = [](std::int32_t mode) {
    return mode == CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F || mode == CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
  };
  if (block(a) && block(b)) {
    const bool both_wide = a == b && a == CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
    return is_f8(product.a.type) && capability == 90 && !both_wide && product.m() % 4 == 0 && product.n() % 4 == 0;
  }
#endif
  return false;
}

bool narrow_types_go_together(const Product& product) {
  const cudaDataType_t out = product.d.type;
  if (is_f4(product.a.type) != is_f4(product.b.type) || is_f8(product.a.type) != is_f8(product.b.type)) return false;
  if (product.a.type == CUDA_R_8F_E5M2 && product.b.type == CUDA_R_8F_E5M2) return false;
  return out == CUDA_R_32F || out == CUDA_R_16F || out == CUDA_R_16BF;
}

cublasStatus_t judge_narrow(const Product& product, int capability) {
  if (capability < 89) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (product.compute != CUBLAS_COMPUTE_32F || product.scale_type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool needs_tn = is_f4(product.a.type) || capability < 100 || capability >= 120;
  return when(narrow_types_go_together(product) && chip_has_scales(product, capability) && multiples(product, 128) &&
              (!needs_tn || is_tn(product)));
}

bool knows(std::uint32_t epilogue) {
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
      return true;
    default:
      return false;
  }
}

}  // namespace

Attributes make_matmul_attributes(cublasComputeType_t compute, cudaDataType_t scale) {
  Attributes all;
  all.put(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, static_cast<std::int32_t>(compute));
  all.put(CUBLASLT_MATMUL_DESC_SCALE_TYPE, static_cast<std::int32_t>(scale));
  for (const int zero : {CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB,
                         CUBLASLT_MATMUL_DESC_TRANSC, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET}) {
    all.put(zero, std::int32_t{0});
  }
  all.put(CUBLASLT_MATMUL_DESC_FILL_MODE, static_cast<std::int32_t>(CUBLAS_FILL_MODE_FULL));
  all.put(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(CUBLASLT_EPILOGUE_DEFAULT));
  for (const int none :
       {CUBLASLT_MATMUL_DESC_BIAS_POINTER, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE,
        CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD,
        CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, CUBLASLT_MATMUL_DESC_ALPHA_VECTOR_BATCH_STRIDE,
        CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER,
        CUBLASLT_MATMUL_DESC_C_SCALE_POINTER, CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, CUBLASLT_MATMUL_DESC_AMAX_D_POINTER,
        CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_SCALE_POINTER, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_AMAX_POINTER}) {
    all.put(none, std::uint64_t{0});
  }
  all.put(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, unset);
  all.put(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, unset);
  all.put(CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t{0});
#if CUBLAS_VERSION >= 120800
  for (const int mode : {CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_DESC_B_SCALE_MODE,
                         CUBLASLT_MATMUL_DESC_C_SCALE_MODE, CUBLASLT_MATMUL_DESC_D_SCALE_MODE,
                         CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_SCALE_MODE, CUBLASLT_MATMUL_DESC_D_OUT_SCALE_MODE}) {
    all.put(mode, std::int32_t{0});
  }
  all.put(CUBLASLT_MATMUL_DESC_D_OUT_SCALE_POINTER, std::uint64_t{0});
#endif
  return all;
}

Attributes make_layout_attributes(cudaDataType_t type, std::uint64_t rows, std::uint64_t columns,
                                  std::int64_t leading) {
  Attributes all;
  all.put(CUBLASLT_MATRIX_LAYOUT_TYPE, static_cast<std::uint32_t>(type));
  all.put(CUBLASLT_MATRIX_LAYOUT_ORDER, static_cast<std::int32_t>(CUBLASLT_ORDER_COL));
  all.put(CUBLASLT_MATRIX_LAYOUT_ROWS, rows);
  all.put(CUBLASLT_MATRIX_LAYOUT_COLS, columns);
  all.put(CUBLASLT_MATRIX_LAYOUT_LD, leading);
  all.put(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, std::int32_t{1});
  all.put(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, std::int64_t{0});
  all.put(CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET, std::int64_t{0});
  return all;
}

Attributes make_preference_attributes() {
  Attributes all;
  all.put(CUBLASLT_MATMUL_PREF_SEARCH_MODE, std::uint32_t{CUBLASLT_SEARCH_BEST_FIT});
  all.put(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{0});
  all.put(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_MASK});
  for (const int operand : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    all.put(operand, std::uint32_t{256});
  }
  all.put(CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, 0.0F);
  all.put(CUBLASLT_MATMUL_PREF_IMPL_MASK, std::uint64_t{0});
  return all;
}

Layout read_layout(const Attributes& attributes) {
  Layout layout;
  layout.type = static_cast<cudaDataType_t>(attributes.get<std::uint32_t>(CUBLASLT_MATRIX_LAYOUT_TYPE));
  layout.rows = attributes.get<std::int64_t>(CUBLASLT_MATRIX_LAYOUT_ROWS);
  layout.columns = attributes.get<std::int64_t>(CUBLASLT_MATRIX_LAYOUT_COLS);
  layout.leading = attributes.get<std::int64_t>(CUBLASLT_MATRIX_LAYOUT_LD);
  layout.order = attributes.get<std::int32_t>(CUBLASLT_MATRIX_LAYOUT_ORDER);
  layout.batch = attributes.get<std::int32_t>(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
  layout.stride = attributes.get<std::int64_t>(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
  return layout;
}

Product read_product(const Attributes& matmul, const Attributes& a, const Attributes& b, const Attributes& c,
                     const Attributes& d) {
  Product product;
  product.compute = static_cast<cublasComputeType_t>(matmul.get<std::int32_t>(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE));
  product.scale_type = static_cast<cudaDataType_t>(matmul.get<std::int32_t>(CUBLASLT_MATMUL_DESC_SCALE_TYPE));
  product.pointer_mode = matmul.get<std::int32_t>(CUBLASLT_MATMUL_DESC_POINTER_MODE);
  product.transposed_a = matmul.get<std::int32_t>(CUBLASLT_MATMUL_DESC_TRANSA) != CUBLAS_OP_N;
  product.transposed_b = matmul.get<std::int32_t>(CUBLASLT_MATMUL_DESC_TRANSB) != CUBLAS_OP_N;
  product.epilogue = matmul.get<std::uint32_t>(CUBLASLT_MATMUL_DESC_EPILOGUE);
  product.bias = matmul.get<const void*>(CUBLASLT_MATMUL_DESC_BIAS_POINTER);
  product.bias_type = matmul.get<std::int32_t>(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
  product.scale_a.pointer = matmul.get<const void*>(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER);
  product.scale_b.pointer = matmul.get<const void*>(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER);
#if CUBLAS_VERSION >= 120800
  product.scale_a.mode = matmul.get<std::int32_t>(CUBLASLT_MATMUL_DESC_A_SCALE_MODE);
  product.scale_b.mode = matmul.get<std::int32_t>(CUBLASLT_MATMUL_DESC_B_SCALE_MODE);
#endif
  product.a = read_layout(a);
  product.b = read_layout(b);
  product.c = read_layout(c);
  product.d = read_layout(d);
  return product;
}

cublasStatus_t judge(const Product& product, int capability) {
  for (const Layout* layout : {&product.a, &product.b, &product.c, &product.d}) {
    if (!fits(*layout)) return CUBLAS_STATUS_INVALID_VALUE;
    if (layout->order != CUBLASLT_ORDER_COL) return CUBLAS_STATUS_NOT_SUPPORTED;  // nobody here asks for another
  }
  if (!shapes_agree(product)) return CUBLAS_STATUS_INVALID_VALUE;
  if (!knows(product.epilogue) || product.pointer_mode > CUBLASLT_POINTER_MODE_DEVICE)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (is_f8(product.a.type) || is_f4(product.a.type)) return judge_narrow(product, capability);
  // Scales belong to narrow types.
  if (product.scale_a.pointer != nullptr || product.scale_b.pointer != nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (!has_plain(product)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (capability < least_capability(product)) return CUBLAS_STATUS_NOT_SUPPORTED;
  return product.a.type == CUDA_R_8I ? judge_i8(product) : CUBLAS_STATUS_SUCCESS;
}

std::size_t extent_bytes(const Layout& layout) {
  const std::int64_t elements = (layout.columns - 1) * layout.leading + layout.rows;
  return static_cast<std::size_t>((elements * bits_of(layout.type) + 7) / 8);
}

std::size_t scale_bytes([[maybe_unused]] std::int32_t mode, [[maybe_unused]] std::int64_t outer,
                        [[maybe_unused]] std::int64_t k) {
#if CUBLAS_VERSION >= 120800
  if (mode == CUBLASLT_MATMUL_MATRIX_SCALE_VEC16_UE4M3) {
    return static_cast<std::size_t>(round_up(outer, 128) * round_up((k + 15) / 16, 4));
  }
  if (mode == CUBLASLT_MATMUL_MATRIX_SCALE_VEC32_UE8M0) {
    return static_cast<std::size_t>(round_up(outer, 128) * round_up((k + 31) / 32, 4));
  }
#endif
#if CUBLAS_VERSION >= 120900
  if (mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F) return 4 * static_cast<std::size_t>(outer);
  if (mode == CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F) return 4 * static_cast<std::size_t>(outer * ((k + 127) / 128));
  if (mode == CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F) {
    return 4 * static_cast<std::size_t>(round_up((k + 127) / 128, 4) * ((outer + 127) / 128));
  }
#endif
  return sizeof(float);
}

}  // namespace rackproof::fake_lt

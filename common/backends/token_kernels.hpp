// The kernels of the token engine that are no library call. Extended by the token engine.
#pragma once

namespace rackproof {

class TokenKernels {
 public:
  TokenKernels() = default;
  TokenKernels(const TokenKernels&) = delete;
  TokenKernels& operator=(const TokenKernels&) = delete;
  virtual ~TokenKernels() = default;
};

}  // namespace rackproof

// Who speaks where several fail.
#pragma once

#include "common/core/error.hpp"

namespace rackproof {

/// An Error that this rank met because another one failed or did not come: where any rank has an error of its own, that
/// one is told (mpi::agree()).
class Consequence : public Error {
 public:
  explicit Consequence(const Error& error) : Error(error) {}
};

}  // namespace rackproof

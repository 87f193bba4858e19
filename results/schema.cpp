#include "results/schema.hpp"

namespace rackproof::results {

std::string_view to_string(Status status) {
  switch (status) {
    case Status::not_run:
      return "not run";
    case Status::passed:
      return "PASSED";
    case Status::mistrusted:
      return "MISTRUSTED";
    case Status::failed:
      return "FAILED";
    case Status::skipped:
      return "SKIPPED";
    case Status::error:
      return "ERROR";
  }
  return "?";
}

}  // namespace rackproof::results

#!/usr/bin/env bash
# The check of arrows passes a clean tree, and fails on each kind of include that points back, naming file and line.
set -euo pipefail
check=$(dirname "${BASH_SOURCE[0]}")/arrows.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/{common/{core,stats,system,mpi,measure,backends/host},results,suites/gemm,launch}

printf '#include "common/core/error.hpp"\n' >"$tree/results/ok.hpp"
printf '#include "common/measure/sampler.hpp"\n#include <mpi.h>\n' >"$tree/suites/gemm/ok.cpp"
printf '#include <mpi.h>\n// #include "suites/suite.hpp"\n' >"$tree/common/mpi/ok.cpp"
printf '#include "results/writer.hpp"\n#include "suites/suite.hpp"\n' >"$tree/launch/ok.cpp"
"$check" "$tree" || { echo "the clean tree is refused" && exit 1; }

count=0
while read -r file include; do
  printf '// one line before\n  #  include %s\n' "$include" >"$tree/$file"
  if output=$("$check" "$tree"); then
    echo "accepted: $include in $file" && exit 1
  fi
  [[ $output == *"$file:2:"* ]] || { echo "does not name $file:2 but says: $output" && exit 1; }
  rm "$tree/$file"
  count=$((count + 1))
done <<'CASES'
common/core/bad.hpp "suites/suite.hpp"
common/mpi/bad.cpp "results/writer.hpp"
common/backends/host/bad.cpp "launch/commands.hpp"
common/system/bad.cpp "common/mpi/communicator.hpp"
common/stats/bad.hpp <mpi.h>
common/core/bad.cpp <hdf5.h>
results/bad.hpp "common/mpi/communicator.hpp"
results/bad.cpp "common/measure/workload.hpp"
results/bad.cpp "common/backends/device.hpp"
results/bad.cpp "suites/suite.hpp"
results/bad.cpp <mpi.h>
results/bad.cpp "launch/commands.hpp"
suites/gemm/bad.cpp "results/schema.hpp"
suites/gemm/bad.hpp <hdf5.h>
suites/gemm/bad.cu <H5Cpp.h>
suites/bad.cpp "launch/commands.hpp"
CASES
[[ $count -eq 16 ]] || { echo "only $count cases were tried" && exit 1; }
"$check" "$tree"
echo "$count violations found"

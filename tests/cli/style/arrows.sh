#!/usr/bin/env bash
# arrows.sh ROOT: no include points back. Data flows launch -> suites -> common -> results; common knows no suite,
# results need neither MPI nor a suite (they run on a login node), and suites never see HDF5.
set -euo pipefail
cd "$1"
failed=0

# never FOLDERS INCLUDES: no source under FOLDERS includes what matches INCLUDES.
never() {
  local folders=$1 includes=$2 folder hits
  for folder in $folders; do
    [[ -d $folder ]] || { echo "arrows.sh: no folder $1/$folder" && exit 1; }
    hits=$(grep -rnE --include='*.[ch]pp' --include='*.h' --include='*.cu' --include='*.cuh' \
      "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($includes)" "$folder") || continue
    printf '%s\n' "$hits" | sed "s|\$|   <- $folder must not include this|"
    failed=1
  done
}

never common '(suites|results|launch)/'
never "common/core common/stats common/system" 'common/(mpi|measure|backends|watch)/|mpi\.h|hdf5'
never results '(suites|launch)/|common/(mpi|measure|backends|watch)/|mpi\.h'
never suites '(results|launch)/|hdf5|H5'
exit "$failed"

#!/usr/bin/env bash
# Proves the GPU side of rackproof on a machine that has a GPU.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/device/run.sh [--no-install] [--ranks N] [--out FILE.h5]

For a machine with an NVIDIA GPU, its driver and the CUDA Toolkit (12.4 or later, with compute-sanitizer) and NCCL.
Installs what else is missing (apt-get, with sudo when not root), builds the release preset with CUDA, and runs what has
the ctest label gpu: the device and its kernels against the host's reference, the kernels under compute-sanitizer
(memcheck, racecheck, initcheck, synccheck), every suite on every GPU with all checks, products beside a bare cuBLASLt
loop, and all-reduce beside a bare NCCL loop. Leaves one result file and one log beside it.

  --no-install   install nothing: name what is missing and exit 2
  --ranks N      ranks, one a GPU (default: as many as nvidia-smi lists)
  --out FILE.h5  the result file (default: rackproof-device-<host>-<utc time>.h5); the log is FILE.log
  --help

Examples:
  tests/device/run.sh
  tests/device/run.sh --ranks 1 --out h100.h5
TEXT
}

die() {
  echo "run.sh: $*" >&2
  exit 2
}

install=yes
ranks=
out=rackproof-device-$(uname -n)-$(date -u +%Y%m%dT%H%M%SZ).h5
while [[ $# -gt 0 ]]; do
  case $1 in
    --no-install) install=no ;;
    --ranks | --out)
      [[ $# -ge 2 ]] || die "$1 needs a value; see --help"
      if [[ $1 == --ranks ]]; then ranks=$2; else out=$2; fi
      shift
      ;;
    --help | -h) usage && exit 0 ;;
    *) die "unknown argument '$1'; see --help" ;;
  esac
  shift
done
[[ $out == *.h5 ]] || die "--out '$out' does not end in .h5"
if [[ -z $ranks ]]; then
  command -v nvidia-smi >/dev/null || die "there is no nvidia-smi: install the driver, or say how many GPUs with --ranks"
  ranks=$(nvidia-smi --list-gpus | grep -c '^GPU' || true)
fi
[[ $ranks =~ ^[1-9][0-9]{0,2}$ ]] || die "no GPU is listed by nvidia-smi; check the driver"
out=$(realpath -m "$out")
log=${out%.h5}.log

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
# shellcheck source=launch/packages.sh
source launch/packages.sh
need_packages "$install" "${build_packages[@]}" libgtest-dev libgmock-dev
mapfile -t open_mpi < <(mpi_options)
options=(-DRACKPROOF_CUDA=ON -DRACKPROOF_TESTS=ON -DRACKPROOF_GPU_TESTS=ON "-DRACKPROOF_GPU_OUT=$out"
  "-DRACKPROOF_GPU_RANKS=$ranks" "${open_mpi[@]}")
if command -v nvidia-smi >/dev/null; then
  # This machine's GPUs alone: a fifth of the time to compile.
  mapfile -t capabilities < <(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | sort -u | tr -d .)
  architectures=()
  for capability in "${capabilities[@]}"; do
    # From Hopper on the instructions of one chip have an a to their name.
    if [[ $capability -ge 90 && $capability -lt 120 ]]; then capability+=a; fi
    architectures+=("$capability-real")
  done
  options+=("-DRACKPROOF_CUDA_ARCHITECTURES=$(IFS=';' && echo "${architectures[*]}")")
fi
quietly build/release.log cmake --preset release "${options[@]}" || exit 1
quietly build/release.log cmake --build --preset release || exit 1

status=0
{
  date -u
  nvidia-smi 2>/dev/null || true
  build/release/rackproof info
  ctest --test-dir build/release --verbose --no-tests=error --label-regex '^gpu$' </dev/null
} 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
if [[ -e $out ]]; then
  echo "wrote $out and $log; the tables: build/release/rackproof show $out"
else
  echo "run.sh: no result file was written; see $log" >&2
fi
exit "$status"

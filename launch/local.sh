#!/usr/bin/env bash
# Measures this machine: installs what is missing, builds, runs every suite on every core, writes one result file.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: launch/local.sh [--no-install] [--ranks N] [-- ARGUMENT...]

Installs what is missing (apt-get, with sudo when not root), builds the release preset, and runs all suites with the
host backend under mpirun. The result file rackproof-<host>-<utc time>.h5 is written into the current folder.

  --no-install   install nothing: name what is missing and exit 2
  --ranks N      MPI ranks (default: one a core, at least 2)
  -- ARGUMENT... further arguments for `rackproof run`
  --help

Examples:
  ./launch/local.sh
  ./launch/local.sh --ranks 4 -- --suite gemm,allreduce --label site=lab
  ./launch/local.sh --no-install -- --out before.h5 --seed 7

Exit code: that of `rackproof run` (0 pass, 2 usage, 3 fail, 75 infrastructure); 2 where packages are missing.
TEXT
}

die() {
  echo "local.sh: $*" >&2
  exit 2
}

install=yes
ranks=
while [[ $# -gt 0 ]]; do
  case $1 in
    --no-install) install=no ;;
    --ranks)
      [[ $# -ge 2 ]] || die "--ranks needs a number, for example --ranks 4"
      ranks=$2
      shift
      ;;
    --ranks=*) ranks=${1#*=} ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) die "unknown argument '$1'; arguments for \`rackproof run\` go behind --; see --help" ;;
  esac
  shift
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release
# shellcheck source=launch/packages.sh
source "$root/launch/packages.sh"
# shellcheck source=launch/mpirun.sh
source "$root/launch/mpirun.sh"

cores=$(usable_cores)
if [[ -z $ranks ]]; then
  ranks=$((cores > 2 ? cores : 2))
fi
[[ $ranks =~ ^[1-9][0-9]{0,5}$ ]] || die "--ranks '$ranks' is not a positive number, for example --ranks 4"

need_packages "$install" "${build_packages[@]}"

options=()
if [[ ! -e $build/CMakeCache.txt ]]; then
  # A first build of a user's: without tests, and a compiler newer than ours may warn. tests/run.sh changes both.
  options=(-DRACKPROOF_TESTS=OFF -DRACKPROOF_WARNINGS_AS_ERRORS=OFF)
fi
mapfile -t -O "${#options[@]}" options < <(mpi_options)
(
  cd "$root"
  echo "building $build/rackproof"
  quietly "$root/build/release.log" cmake --preset release "${options[@]}"
  if [[ -t 1 ]]; then
    cmake --build --preset release --target rackproof
  else
    quietly "$root/build/release.log" cmake --build --preset release --target rackproof
  fi
) || exit 1

mpirun=$(sed -n 's/^MPIEXEC_EXECUTABLE:[A-Z]*=//p' "$build/CMakeCache.txt")
mpirun_command "$mpirun" "$ranks" "$cores"
# mpirun hands stderr on through a pipe, so that only this script knows whether somebody is looking.
progress=()
[[ -t 2 ]] && progress=(--progress always)

# Whatever ends the run early, the user is told what is left of it. In the background, so that a signal that only this
# script gets is handed on.
stamp=$(mktemp)
trap 'rm -f "$stamp"' EXIT
"${launch[@]}" "$build/rackproof" run --device host "${progress[@]}" "$@" </dev/null &
run=$!
stopped=no
trap 'stopped=yes; kill -TERM "$run" 2>/dev/null' INT TERM HUP
status=0
wait "$run" || status=$?
while kill -0 "$run" 2>/dev/null; do # a trap ends wait, not the run
  status=0
  wait "$run" || status=$?
done
if [[ $stopped == yes && $status -ne 0 ]]; then
  what="the run was stopped by a signal"
else
  case $status in
    0 | 1 | 2 | 3 | 4 | 75) exit "$status" ;;
  esac
  # Not one of rackproof's exit codes, so it is mpirun's.
  what="the run broke off: a rank was killed (mpirun ended with $status)"
fi
out=
while [[ $# -gt 0 ]]; do
  case $1 in
    --out) out=${2-} && shift ;;
    --out=*) out=${1#*=} ;;
  esac
  [[ $# -gt 0 ]] && shift
done
if [[ -n $out ]]; then
  part=$(find "$out.part" -maxdepth 0 -newer "$stamp" 2>/dev/null || true)
else
  part=$(find . -maxdepth 1 -name 'rackproof-*.h5.part' -newer "$stamp" -printf '%T@ %f\n' | sort -n | tail -n 1)
  part=${part#* }
fi
if [[ -n $part ]]; then
  echo "local.sh: $what; the cases that had finished are in $part; get them with: $build/rackproof recover $part" >&2
else
  echo "local.sh: $what; no case had finished; run again" >&2
fi
exit 75

#!/usr/bin/env bash
# How often each fault is found and named on a virtual rack of four nodes with two ranks each: the table of README.md.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/rack/detection.sh [--build DIR] [--folder DIR] [--no-install] [-- OPTION...]

As root. Starts a virtual rack of four nodes with two test doubles of a GPU each (launch/virtual-rack), runs
`rackproof selftest` on it, prints the table and ends the rack.

  --build DIR    the build to test, with test doubles (default: build/release)
  --folder DIR   keeps a line a trial; given again, it goes on from there (default: build/detection)
  --no-install   install nothing: name the missing packages and exit 2
  -- OPTION...   of `rackproof selftest` (default: --trials 20 --healthy 100, which takes hours)

Example, two trials of each fault: tests/rack/detection.sh -- --trials 2
Exit code: that of `rackproof selftest`.
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rack=$root/launch/virtual-rack
build=$root/build/release
folder=$root/build/detection
up=()
options=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --build | --folder)
      [[ $# -ge 2 ]] || { echo "detection.sh: $1 needs a folder" >&2 && exit 2; }
      if [[ $1 == --build ]]; then build=$2; else folder=$2; fi
      shift
      ;;
    --no-install) up+=(--no-install) ;;
    --help | -h) usage && exit 0 ;;
    --)
      shift
      options=("$@")
      break
      ;;
    *) echo "detection.sh: unknown argument '$1'; see --help" >&2 && exit 2 ;;
  esac
  shift
done
[[ ${#options[@]} -gt 0 ]] || options=(--trials 20 --healthy 100)
build=$(readlink -m "$build")
folder=$(readlink -m "$folder")
[[ $EUID -eq 0 ]] || { echo "detection.sh: namespaces need root" >&2 && exit 2; }
# Each host has a /tmp of its own.
[[ $folder != /tmp/* ]] || { echo "detection.sh: --folder: /tmp is another one on each host" >&2 && exit 2; }

export RACKPROOF_RACK=detect$$ OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 OMPI_MCA_btl=tcp,self
trap '"$rack" down' EXIT
trap 'exit 1' INT TERM HUP
# Slow enough that what messages cost in processor time does not hide a slow link.
"$rack" up --nodes 4 --gpus-per-node 2 --kind H100 --link-rate 10mbit --build "$build" "${up[@]}" >&2
mkdir -p "$folder"
cd "$folder"
"$build/rackproof" selftest --rack "$rack" --folder "$folder" "${options[@]}"

#!/usr/bin/env bash
# How often each fault is found and named on a virtual rack of four nodes with two ranks each: the table of README.md.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/rack/detection.sh [--build DIR] [--folder DIR] [--or-skip] [--no-install] [-- OPTION...]

As root. Starts a virtual rack of four nodes with two test doubles of a GPU each (launch/virtual-rack), runs
`rackproof selftest` on it, prints the table and ends the rack.

  --build DIR    the build to test, with test doubles (default: build/release)
  --folder DIR   keeps a line a trial, and the program; given again, it goes on from there with that one
                 (default: a new one, which stays where something failed)
  --or-skip      where this machine lets nobody make namespaces, say so and exit 77
  --no-install   install nothing: name the missing packages and exit 2
  -- OPTION...   of `rackproof selftest` (default: --trials 20 --healthy 100, which takes hours)

Example, two trials of each fault: tests/rack/detection.sh -- --trials 2
Exit code: that of `rackproof selftest`.
TEXT
}

# shellcheck source=tests/rack/rack.sh
source "$(dirname "${BASH_SOURCE[0]}")/rack.sh"
options=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --build | --folder)
      [[ $# -ge 2 ]] || refuse "$1 needs a folder"
      if [[ $1 == --build ]]; then build=$2; else folder=$2 keep=yes; fi
      shift
      ;;
    --or-skip) or_skip=yes ;;
    --no-install) up+=(--no-install) ;;
    --help | -h) usage && exit 0 ;;
    --)
      shift
      options=("$@")
      break
      ;;
    *) refuse "unknown argument '$1'; see --help" ;;
  esac
  shift
done
[[ ${#options[@]} -gt 0 ]] || options=(--trials 20 --healthy 100)
build=$(readlink -m "$build")
if [[ -n $folder ]]; then folder=$(readlink -m "$folder"); fi
[[ $folder != /tmp/* ]] || refuse "--folder: every host has a /tmp of its own; $folder is not seen there"
begin detect
export OMPI_MCA_btl=tcp,self
# Slow enough that what messages cost in processor time does not hide a slow link.
"$rack" up --nodes 4 --gpus-per-node 2 --kind H100 --link-rate 20mbit --build "$folder/bin" "${up[@]}" >&2
# Not in the foreground, where a signal to this script would wait for its end.
"$folder/bin/rackproof" selftest --rack "$rack" --folder "$folder" "${options[@]}" &
selftest=$!
# It ends its run and heals the rack first.
trap 'kill "$selftest"; wait "$selftest" || true; exit 1' INT TERM HUP
wait "$selftest"

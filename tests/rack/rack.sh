# What the scripts of this folder share; sourced by them. They may set `build` and `folder`, where their files are.
# shellcheck shell=bash
# shellcheck disable=SC2034 # used there
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rack=$root/launch/virtual-rack
build=$root/build/release
folder=''
up=()
failures=0
or_skip=no
# yes: the folder stays, also where nothing failed
keep=no

refuse() {
  echo "$(basename "$0"): $*" >&2
  exit 2
}

# cannot WHY: this machine cannot have a rack.
cannot() {
  echo "$(basename "$0"): SKIPPED: $1; nothing was tested" >&2
  if [[ $or_skip == yes ]]; then exit 77; fi
  exit 2
}

# begin NAME: checks what is needed, and sees to it that the rack NAME ends with the script. A copy of the program runs, so
# that a build meanwhile changes nothing; one that is in the folder already stays.
begin() {
  local why
  [[ $EUID -eq 0 ]] || cannot "a rack needs root"
  why=$(unshare --net --pid --mount --uts --ipc --fork -- ip link add probe0 type veth peer name probe1 2>&1) ||
    cannot "no namespaces or virtual cables here: $why"
  [[ -x $build/rackproof ]] || refuse "there is no $build/rackproof; build it (launch/local.sh does) or give --build DIR"
  # Not under /tmp, which each host has of its own.
  [[ -n $folder ]] || folder=$(mktemp -d "/var/tmp/rackproof-$1.XXXXXX")
  mkdir -p "$folder"
  export RACKPROOF_RACK=$1$$ OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
  trap finish EXIT
  trap 'exit 1' INT TERM HUP
  if [[ ! -e $folder/bin/rackproof ]]; then
    mkdir -p "$folder/bin/tests/fakes"
    if [[ -d $build/tests/fakes/lib ]]; then cp -r "$build/tests/fakes/lib" "$folder/bin/tests/fakes/"; fi
    cp "$build/rackproof" "$folder/bin/"
  fi
  cd "$folder"
}

finish() {
  local code=$?
  trap - EXIT
  "$rack" down || code=1
  [[ $failures -eq 0 || $code -ne 0 ]] || code=1
  if [[ $keep == yes || $code -ne 0 ]]; then
    echo "the rack's logs and files are in $folder" >&2
  else
    rm -rf "$folder"
  fi
  exit "$code"
}

on() { timeout 300 "$rack" enter "$@"; }

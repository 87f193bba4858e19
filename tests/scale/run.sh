#!/usr/bin/env bash
# Builds rackproof's measuring code against SimGrid's simulated MPI and studies it on hundreds of nodes.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/scale/run.sh [--no-install] [--nodes N,N,...] [--seeds N] [--verbose]

Installs what is missing (apt-get, with sudo when not root), builds the preset smpi, and prints two tables from
simulated nodes, one rank each: what the stopping rule decides and what that costs, and how often the links suite names
a planted slow link or slow node, and whom it accuses wrongly; then how 128 to 10 240 ranks start. Exits 3 where a rate is
below what is stated under the table, or something did not arrive. See "At scale" in tests/README.md.

  --no-install  install nothing: name what is missing and exit 2
  --nodes LIST  simulated nodes, powers of two from 16 (default 64,512)
  --seeds N     runs of each fault on each number of nodes (default 50)
  --verbose     what is planted and who is blamed, run by run
  --help

Examples:
  tests/scale/run.sh
  tests/scale/run.sh --nodes 64 --seeds 10 --verbose
TEXT
}

die() {
  echo "run.sh: $*" >&2
  exit 2
}

install=yes
nodes=64,512
seeds=50
verbose=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --no-install) install=no ;;
    --nodes | --seeds)
      [[ $# -ge 2 ]] || die "$1 needs a value; see --help"
      [[ $2 =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || die "$1: '$2' is no number; see --help"
      if [[ $1 == --nodes ]]; then nodes=$2; else seeds=$2; fi
      shift
      ;;
    --verbose) verbose=(--verbose) ;;
    --help | -h) usage && exit 0 ;;
    *) die "unknown argument '$1'; see --help" ;;
  esac
  shift
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
# shellcheck source=launch/packages.sh
source launch/packages.sh
need_packages "$install" "${build_packages[@]}" libsimgrid-dev
quietly build/smpi.log cmake --preset smpi -DRACKPROOF_TESTS=ON || exit 1
quietly build/smpi.log cmake --build --preset smpi || exit 1

status=0
IFS=, read -ra counts <<<"$nodes"
for count in "${counts[@]}"; do
  echo "The stopping rule, $count nodes"
  build/smpi/tests/scale/stopping_study --nodes "$count" --seeds 2 || status=3
  echo
  echo "The links suite, $count nodes"
  build/smpi/tests/scale/links_study --nodes "$count" --seeds "$seeds" "${verbose[@]}" || status=3
  echo
done
echo "What ranks tell rank 0 when a run starts, and after a case"
for ranks in 128 1024 10240; do
  build/smpi/tests/scale/startup_study --ranks "$ranks" || status=3
done
exit "$status"

#!/usr/bin/env bash
# Installs what the tests need, builds, and runs them all through one ctest.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/run.sh [--no-install] [--quick] [--filter REGEX]

Installs what is missing (apt-get, with sudo when not root), builds the presets release, login, mpich, smpi, asan,
tsan and fuzz, and runs every test through one ctest, whose summary comes last and whose exit code is the script's.

  --no-install    install nothing: name what is missing and exit 2
  --quick         the release build and its tests alone: no sanitizers, no MPICH, no SMPI, no login build, no
                  fuzzing
  --filter REGEX  only tests whose name matches: unit.*, mpi2.*, cli.*, style.*, asan.*, tsan.*,
                  mpich.*, smpi.*, login.*, fuzz.*, rack.*
  --help

Examples:
  ./tests/run.sh
  ./tests/run.sh --quick --filter '^unit\.units_test'
  ./tests/run.sh --filter '^(asan|tsan)\.'
TEXT
}

die() {
  echo "run.sh: $*" >&2
  exit 2
}

install=yes
builds=(login mpich smpi asan tsan fuzz)
filter=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --no-install) install=no ;;
    --quick) builds=() ;;
    --filter)
      [[ $# -ge 2 ]] || die "--filter needs a regular expression, for example --filter '^unit\\.'"
      filter=(--tests-regex "$2")
      shift
      ;;
    --filter=*) filter=(--tests-regex "${1#*=}") ;;
    --help | -h) usage && exit 0 ;;
    *) die "unknown argument '$1'; see --help" ;;
  esac
  shift
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=launch/packages.sh
source launch/packages.sh
need_packages "$install" "${build_packages[@]}" "${test_packages[@]}" "${rack_packages[@]}"
mapfile -t open_mpi < <(mpi_options)

# build PRESET [CONFIGURE OPTION...] -- [TARGET...]
build() {
  local preset=$1 options=() begin=$SECONDS
  shift
  while [[ $1 != -- ]]; do
    options+=("$1")
    shift
  done
  shift
  quietly "build/$preset.log" cmake --preset "$preset" -DRACKPROOF_TESTS=ON "${options[@]}" || exit 1
  quietly "build/$preset.log" cmake --build --preset "$preset" ${1+--target "$@"} || exit 1
  echo "built $preset in $((SECONDS - begin)) s"
}

# The release build first: the others then find in ccache what they compile in the same way.
printf -v test_builds '%s;' "${builds[@]}"
build release -DRACKPROOF_WARNINGS_AS_ERRORS=ON "-DRACKPROOF_TEST_BUILDS=${test_builds%;}" "${open_mpi[@]}" --
for preset in "${builds[@]}"; do
  case $preset in
    login) build login -- rackproof ;;
    mpich) build mpich -- rackproof tests/mpi/all ;;
    smpi | fuzz) build "$preset" -- ;; # its preset says what
    asan) build asan "${open_mpi[@]}" -- tests/unit/all tests/mpi/all ;;
    tsan) build tsan "${open_mpi[@]}" -- threaded_unit_tests tests/mpi/all ;;
  esac
done

status=0
ctest --test-dir build/release --output-on-failure --no-tests=error --parallel "$(nproc)" "${filter[@]}" </dev/null |
  tee build/ctest.log || status=$?
[[ $status -ne 0 ]] || exit 0
# What failed has spoken thousands of lines above: the end of it once more, and ctest's summary stays last.
echo
awk '/^[0-9]+\/[0-9]+ Testing: / { name = $3; lines = 0 }
  { line[lines++] = $0 }
  /^Test Failed\.$/ {
    printf "---- %s, its last lines:\n", name
    for (i = lines > 60 ? lines - 60 : 0; i < lines; ++i) print line[i]
  }' build/release/Testing/Temporary/LastTest.log
echo
sed -n '/tests passed, .* failed out of/,$p' build/ctest.log
exit "$status"

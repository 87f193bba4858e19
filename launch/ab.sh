#!/usr/bin/env bash
# Compares two builds on this machine: launches of both, by turns, and what differs between them.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: launch/ab.sh BUILD_A BUILD_B [-n LAUNCHES] [OPTION...] [-- ARGUMENT...]

Launches A and B by turns, so that what changes on the machine meanwhile meets both: pairs of launches, which of the two
is first drawn for each pair. Every launch writes a file into the folder; at the end `rackproof compare` (of A) says what
differs. BUILD is an installed prefix, a build folder or a binary.

A signal (Ctrl-C) ends the launch in flight, which is taken again later, and keeps the finished ones; it says where they
are and how to compare them. Called again with the same folder it goes on where it was.

  -n LAUNCHES           launches of each (default: 10); more of them later continue the same comparison
  --folder FOLDER       where the files go (default: ab)
  --ranks N             MPI ranks (default: one a core, at least 2)
  --seed N              of the order (default: drawn, printed and kept in the folder)
  --mpirun-a, --mpirun-b COMMAND
                        mpirun of that build (default: found by the MPI library that the build is linked with)
  --env-a, --env-b NAME=VALUE
                        set for that build alone; may be repeated
  --margins FILE        for the comparison: margins of `rackproof compare --calibrate`
  --margin SHARE        ... or one for all cases (default: 1%)
  --allow-fake          ... of launches on fake devices, too
  -- ARGUMENT...        arguments for `rackproof run`, the same for both
  --help

Examples:
  launch/ab.sh /opt/rackproof-openmpi /opt/rackproof-mpich -n 10 -- --suite allreduce
  launch/ab.sh build/release build/blis --folder blas -- --suite gemm --time-budget 30s
  launch/ab.sh build/release build/release --env-b OPENBLAS_CORETYPE=Haswell -- --suite gemm

Exit code: of `rackproof compare` (0 no case slower, 3 a regression, 4 inconclusive), or of the run that failed; 75: stopped by a
signal.
TEXT
}

die() {
  echo "ab.sh: $*" >&2
  exit 2
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=launch/mpirun.sh
source "$root/launch/mpirun.sh"

builds=()
launches=10
folder=ab
ranks=
seed=
declare -A mpirun=([a]='' [b]='')
env_a=()
env_b=()
judging=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    --allow-fake) judging+=("$1") ;;
    -n | --folder | --ranks | --seed | --mpirun-a | --mpirun-b | --env-a | --env-b | --margin | --margins)
      [[ $# -ge 2 ]] || die "$1 needs a value; see --help"
      case $1 in
        -n) launches=$2 ;;
        --folder) folder=$2 ;;
        --ranks) ranks=$2 ;;
        --seed) seed=$2 ;;
        --mpirun-?) mpirun[${1: -1}]=$2 ;;
        --env-?)
          [[ $2 =~ ^[A-Za-z_][A-Za-z_0-9]*= ]] || die "$1 '$2' is no NAME=VALUE"
          if [[ $1 == --env-a ]]; then env_a+=("$2"); else env_b+=("$2"); fi
          ;;
        --margin | --margins) judging+=("$1" "$2") ;;
      esac
      shift
      ;;
    -*) die "unknown option '$1'; arguments for \`rackproof run\` go behind --; see --help" ;;
    *) builds+=("$1") ;;
  esac
  shift
done
[[ ${#builds[@]} -eq 2 ]] || die "needs two builds and got ${#builds[@]}; see --help"
[[ $launches =~ ^[1-9][0-9]{0,3}$ ]] || die "-n '$launches' is no number of launches, for example -n 10"
[[ -z $seed || $seed =~ ^[0-9]{1,9}$ ]] || die "--seed '$seed' is no number"
cores=$(usable_cores)
[[ -n $ranks ]] || ranks=$((cores > 2 ? cores : 2))
[[ $ranks =~ ^[1-9][0-9]{0,5}$ ]] || die "--ranks '$ranks' is no positive number, for example --ranks 4"
for argument in "$@"; do
  case $argument in
    --out | --out=* | --resume | --resume=*) die "${argument%%=*} is ab.sh's own; --folder says where the files go" ;;
  esac
done

# binary_of BUILD: the program in a prefix or a build folder, or itself.
binary_of() {
  local path
  for path in "$1/bin/rackproof" "$1/rackproof" "$1"; do
    if [[ -f $path && -x $path ]]; then
      realpath "$path"
      return
    fi
  done
  die "no rackproof in '$1'; give an installed prefix, a build folder or a binary"
}

# mpirun_of BINARY: that of the library it is linked with, as Debian calls it or simply mpirun.
mpirun_of() {
  local flavour names name
  case $(ldd "$1" 2>&1) in
    *libmpich.*) flavour='HYDRA|MPICH' names='mpirun.mpich mpiexec.mpich mpiexec.hydra mpirun' ;;
    *libmpi.*) flavour='Open MPI|OpenRTE|PRRTE' names='mpirun.openmpi mpirun mpiexec' ;;
    *) die "$1 is linked with neither Open MPI nor MPICH; --mpirun-a and --mpirun-b name its mpirun" ;;
  esac
  for name in $names; do
    if command -v "$name" >/dev/null && "$name" --version 2>&1 | grep -qE "$flavour"; then
      command -v "$name"
      return
    fi
  done
  die "no mpirun of the MPI that $1 is linked with; --mpirun-a and --mpirun-b name it"
}

declare -A binary
binary[a]=$(binary_of "${builds[0]}") || exit 2
binary[b]=$(binary_of "${builds[1]}") || exit 2
for side in a b; do
  [[ -n ${mpirun[$side]} ]] || mpirun[$side]=$(mpirun_of "${binary[$side]}") || exit 2
  command -v "${mpirun[$side]}" >/dev/null || die "no program '${mpirun[$side]}'"
done

# What the files in the folder were made with; another comparison must not be mixed into them.
plan() {
  printf 'a %s, %s %s\n' "$(sha256sum "${binary[a]}")" "${mpirun[a]}" "${env_a[*]-}"
  printf 'b %s, %s %s\n' "$(sha256sum "${binary[b]}")" "${mpirun[b]}" "${env_b[*]-}"
  printf 'ranks %s\narguments' "$ranks"
  printf ' %q' "$@"
  printf '\n'
}
mkdir -p "$folder"
if [[ -e $folder/plan ]]; then
  kept=$(sed -n 's/^seed //p' "$folder/plan")
  if [[ -n $seed && $seed != "$kept" ]] || ! diff -q <(plan "$@") <(sed '/^seed /d' "$folder/plan") >/dev/null; then
    die "the folder '$folder' holds another comparison (builds, ranks, seed or arguments differ from $folder/plan)"
  fi
  seed=$kept
else
  [[ -z $(find "$folder" -name '*.h5' -print -quit) ]] || die "the folder '$folder' has result files of something else"
  [[ -n $seed ]] || seed=$RANDOM$RANDOM
  { plan "$@" && echo "seed $seed"; } >"$folder/plan.new"
  mv "$folder/plan.new" "$folder/plan"
fi
echo "ab.sh: A is ${binary[a]}, B is ${binary[b]}, $launches launches each of $ranks ranks, order by seed $seed" >&2

# processes_of SESSION: their ids. mpirun gives its ranks process groups of their own, not sessions.
processes_of() {
  local stat id line
  for stat in /proc/[0-9]*/stat; do
    line=
    { read -r line <"$stat"; } 2>/dev/null || continue
    id=${stat//[!0-9]/}
    # Behind the name, which may hold anything: state, parent, group, session.
    read -r -a line <<<"${line##*) }"
    [[ ${line[3]:-} == "$1" && ${line[0]} != Z ]] && echo "$id"
  done
  return 0
}

# end_run RUN: asks mpirun to end its ranks; 10 s later, or at a second signal, whatever is left of them is killed.
end_run() {
  local run=$1 tenths
  stopped=
  kill -TERM "$run" 2>/dev/null || true
  for ((tenths = 0; tenths < 100; ++tenths)); do
    if [[ -n $stopped ]] || ! kill -0 "$run" 2>/dev/null; then break; fi
    sleep 0.1
  done
  stopped=yes
}

# finished_text: what there is to compare.
finished_text() {
  local a b
  a=$(find "$folder" -maxdepth 1 -name 'a-*.h5' | wc -l)
  b=$(find "$folder" -maxdepth 1 -name 'b-*.h5' | wc -l)
  printf "ab.sh: finished launches are in '%s': %s of A, %s of B\n" "$folder" "$a" "$b"
  if ((a > 0 && b > 0)); then
    printf 'ab.sh: to compare them: %q compare %q/a-*.h5 --to %q/b-*.h5' "${binary[a]}" "$folder" "$folder"
    if ((${#judging[@]} > 0)); then printf ' %q' "${judging[@]}"; fi
    printf '\n'
  fi
}

# run_one SIDE FILE ARGUMENT...: one launch. In the background and in a session of its own, so that a signal comes to this
# script alone and nothing of the launch outlives it.
run_one() {
  local side=$1 file=$2 status=0 launch run id
  shift 2
  mpirun_command "${mpirun[$side]}" "$ranks" "$cores"
  local environment=("${env_a[@]}")
  [[ $side == b ]] && environment=("${env_b[@]}")
  setsid env "${environment[@]}" "${launch[@]}" "${binary[$side]}" run --label "side=$side" "$@" --out "$file" \
    </dev/null >"$file.log" 2>&1 &
  run=$!
  if [[ -z $stopped ]]; then wait "$run" || status=$?; fi # a trap ends wait, not the run
  [[ -z $stopped ]] || end_run "$run"
  for id in $(processes_of "$run"); do kill -KILL "$id" 2>/dev/null || true; done
  # 127: waited for already.
  if kill -0 "$run" 2>/dev/null; then wait "$run" || status=$?; fi
  # What broke off is closed with the cases that it had finished: kept, but no launch.
  if [[ (-n $stopped || ($status -ne 0 && $status -ne 3)) && -e $file ]]; then
    mv -f "$file" "${file%.h5}.broke-off"
  fi
  if [[ -n $stopped ]]; then
    rm -f "$file.part" # the launch is taken again
    echo "ab.sh: stopped; the same command goes on with launch $(basename "$file" .h5)" >&2
    finished_text >&2
    exit 75
  fi
  # A check that failed is a result like another: the comparison says so.
  if [[ $status -ne 0 && $status -ne 3 ]]; then
    tail -n 5 "$file.log" >&2
    echo "ab.sh: launch $(basename "$file" .h5) ended with $status ($file.log); the same command goes on with it" >&2
    finished_text >&2
    exit "$status"
  fi
}

stopped=
trap 'stopped=yes' INT TERM HUP
files_a=()
files_b=()
RANDOM=$seed
for ((i = 1; i <= launches; ++i)); do
  number=$(printf '%03d' "$i")
  # The lowest bit of such a generator is its worst.
  if ((RANDOM / 64 % 2)); then order=(a b); else order=(b a); fi
  for side in "${order[@]}"; do
    file=$folder/$side-$number.h5
    [[ -e $file ]] && continue
    echo "ab.sh: launch $i of $launches: ${side^^}" >&2
    run_one "$side" "$file" "$@"
  done
  files_a+=("$folder/a-$number.h5")
  files_b+=("$folder/b-$number.h5")
done
trap - INT TERM HUP
exec "${binary[a]}" compare "${files_a[@]}" --to "${files_b[@]}" "${judging[@]}"

#!/usr/bin/env bash
# Is this node fit for work? For Slurm's Prolog, Epilog and HealthCheckProgram; ends within 60 s.
set -uo pipefail

usage() {
  cat <<'TEXT'
Usage: health_check.sh [--drain] [--timeout SECONDS] [-- ARGUMENT...]

Runs `rackproof run` on this node alone for a few seconds: a product and an all-reduce in each precision that the
profile has, each checked. Prints one line, key=value. Every result is right: exit code 0. A wrong one, an error or a
hang: exit code 1, upon which Slurm drains the node (Prolog, Epilog). What is not set up (no rackproof, wrong arguments)
is told on stderr and by rackproof_health=unknown, exit code 0: it must not drain every node of a cluster.

  --drain            drain the node as well; for HealthCheckProgram, whose exit code Slurm does not look at
  --timeout SECONDS  5 to 50 (default 45)
  -- ARGUMENT...     for `rackproof run`, in place of: --suite gemm,allreduce --time-budget 10s

In slurm.conf: Prolog=DIR/health_check.sh  PrologFlags=Alloc  BatchStartTimeout=120
RACKPROOF: the program (default: on the PATH, or build/release). RACKPROOF_RANKS: ranks (default: one a GPU, at least 1).

Examples:
  health_check.sh
  health_check.sh --drain -- --suite gemm --benchmark_filter=bf16 --time-budget 5s
TEXT
}

# A prolog has next to no environment.
export PATH=$PATH:/usr/local/bin:/usr/bin:/bin
node=${SLURMD_NODENAME:-$(hostname -s)}

unknown() {
  echo "rackproof_health=unknown node=$node why=$1"
  echo "health_check.sh: $1" >&2
  exit 0
}

drain=no
limit=45
while [[ $# -gt 0 ]]; do
  case $1 in
    --drain) drain=yes ;;
    --timeout)
      limit=${2-}
      [[ $limit =~ ^[1-9][0-9]?$ && $limit -ge 5 && $limit -le 50 ]] || unknown "--timeout is from 5 to 50"
      shift
      ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) unknown "unknown argument '$1'" ;;
  esac
  shift
done
[[ $# -gt 0 ]] || set -- --suite gemm,allreduce --time-budget 10s

# Runs rackproof and prints one line: pass, fail or unknown, TAB, its exit code, TAB, why.
look() {
  local here rackproof ranks folder command variable code state why
  tell() { printf '%s\t%s\t%s\n' "$@"; }
  here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
  rackproof=${RACKPROOF-}
  [[ -n $rackproof ]] || rackproof=$(command -v rackproof) || rackproof=$here/../../build/release/rackproof
  [[ -x $rackproof ]] || { tell unknown - "no rackproof; set RACKPROOF" && return; }
  ranks=${RACKPROOF_RANKS:-$(find /dev -maxdepth 1 -name 'nvidia[0-9]*' | wc -l)}
  [[ $ranks =~ ^(0|[1-9][0-9]{0,3})$ ]] || { tell unknown - "RACKPROOF_RANKS '$ranks' is no number" && return; }
  command=("$rackproof")
  if [[ $ranks -gt 1 ]]; then
    command=(mpirun -n "$ranks" --oversubscribe "$rackproof")
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
  # The job that this node is looked at for is none of ours.
  for variable in $(compgen -e SLURM) $(compgen -e PMI); do unset "$variable"; done
  folder=$(mktemp -d) || { tell unknown - "no temporary folder" && return; }
  timeout --kill-after=3 "$limit" "${command[@]}" run --out "$folder/health.h5" --progress never "$@" \
    >"$folder/out" 2>"$folder/err"
  code=$?
  # The first failed case with its reason, or the program's own line, or whoever could not start it.
  why=$("$rackproof" show "$folder/health.h5" | awk '$2 ~ /^(FAILED|ERROR)$/ { print $1 ":" $2; exit }')
  [[ -n $why ]] || why=$(grep -m 1 '^rackproof: ' "$folder/err" | cut -c 12-)
  [[ -n $why || $code != 12[5-7] ]] || why=$(grep -m 1 . "$folder/err")
  rm -rf "$folder"
  case $code in
    0 | 4) state=pass ;; # 4: every check passed; how fast it was is not the question here
    2) state=unknown why=${why:-"rackproof refused its arguments"} ;;
    3) state=fail ;;
    124 | 137) state=fail why="no end within $limit s" ;;
    12[5-7]) state=unknown why="rackproof cannot be started: $why" ;; # a library or mpirun is missing
    *) state=fail why="exit code $code $why" ;;
  esac
  tell "$state" "$code" "$why"
}

# What waits in the kernel, for a device or a file system, cannot be ended, and `timeout` waits for it. Here it is left
# behind; it has none of our files open for which Slurm could wait.
begin=$SECONDS
heard=0
IFS=$'\t' read -r -t "$((limit + 5))" state code why < <(look "$@" </dev/null 2>/dev/null) || heard=$?
if [[ $heard -gt 128 ]]; then
  state=fail code=124 why="no end within $limit s"
elif [[ $heard -ne 0 ]]; then
  unknown "the check itself was ended"
fi
why=$(tr -cd 'A-Za-z0-9 ._:/=+,<>@%-' <<<"$why" | cut -c 1-160)
[[ $state != unknown ]] || unknown "$why"
line="rackproof_health=$state node=$node seconds=$((SECONDS - begin)) exit=$code${why:+ why=$why}"
echo "$line"
[[ $state == fail ]] || exit 0
if [[ $drain == yes ]]; then
  scontrol update "NodeName=$node" State=DRAIN "Reason=$line" || echo "health_check.sh: draining $node failed" >&2
fi
exit 1

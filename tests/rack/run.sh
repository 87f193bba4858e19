#!/usr/bin/env bash
# A rack of four hosts on this machine, with a real Slurm: a healthy job, a slow link, a dead node, and nothing left.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/rack/run.sh [--build DIR] [--no-install]

As root. Starts a virtual rack of its own (launch/virtual-rack) and runs rackproof on it through sbatch and srun: a
healthy job ends with 0, a slow link is named, a job whose node dies ends with 75 and keeps what it had finished, and
after the end of the rack, in good order or by a crash, nothing of it is left. No figure is looked at: a busy machine
passes, too.

  --build DIR    the build to test (default: build/release)
  --no-install   install nothing: name the missing packages and exit 2

Exit code: 0, 1 something failed, 2 usage.
TEXT
}

# shellcheck source=tests/rack/rack.sh
source "$(dirname "${BASH_SOURCE[0]}")/rack.sh"
while [[ $# -gt 0 ]]; do
  case $1 in
    --build)
      [[ $# -ge 2 ]] || refuse "--build needs a folder"
      build=$2
      shift
      ;;
    --no-install) up+=(--no-install) ;;
    --help | -h) usage && exit 0 ;;
    *) refuse "unknown argument '$1'; see --help" ;;
  esac
  shift
done
build=$(readlink -m "$build")

# check WHAT COMMAND...
check() {
  local what=$1
  shift
  if "$@" >"$folder/check.log" 2>&1; then
    echo "ok      $SECONDS s  $what"
  else
    echo "FAILED  $SECONDS s  $what"
    tail -n 20 "$folder/check.log" | sed 's/^/        /'
    failures=$((failures + 1))
  fi
}

# What of this machine a rack could have changed.
surroundings() {
  ip -o link | cut -d ' ' -f 2 | cut -d @ -f 1
  ls /run/netns 2>/dev/null || true
  findmnt --noheadings --output TARGET
  find /sys/fs/cgroup -maxdepth 2 -name 'rackproof-rack-*' 2>/dev/null || true
  find /run/rackproof-rack -maxdepth 1 -name "$RACKPROOF_RACK" 2>/dev/null || true
  pgrep --full "__host $RACKPROOF_RACK" || true
  pgrep --full "run/rackproof-rack/$RACKPROOF_RACK" || true
}
nothing_left() { diff "$folder/before" <(surroundings); }

on_head() { on head "$@"; }
# names WHAT FILE TEXT: the program's output on the file has it.
names() {
  local what=$1 file=$2
  shift 2
  "$build/rackproof" "$what" "$file" >"$folder/output" 2>&1
  cat "$folder/output"
  for text; do grep -qE "$text" "$folder/output" || { echo "missing: $text" && return 1; }; done
}
ends_with() {
  local wanted=$1 code=0
  shift
  "$@" || code=$?
  echo "exit code $code, wanted $wanted"
  [[ $code -eq $wanted ]]
}

begin test
export RACKPROOF_RANKS_PER_NODE=1 RACKPROOF_PROFILE=quick
surroundings >"$folder/before"
"$rack" up --nodes 4 --link-rate 100mbit --build "$folder/bin" "${up[@]}"
small=(--suite allreduce '--benchmark_filter=f32/1KiB' --time-budget 2s)

nightly=$root/launch/slurm/nightly.sbatch
check "a healthy night ends with 0" ends_with 0 on_head sbatch --wait --nodes 4 --array 1 --output night.log "$nightly" "${small[@]}"
night=$(find . -name 'rackproof-nightly-*_1.h5')
check "its file names the job, the partition and the nodes" names show "$night" '^slurm +job [0-9]+ .*partition rack, node\[0-3\]' \
  '4 nodes' 'passed'

check "an acceptance whose limits cannot be read ends before it measures" ends_with 2 on_head sbatch --wait --nodes 4 \
  --output limits.log "$root/launch/slurm/accept.sbatch" --limits nowhere.toml
check "... and says so" grep -q "accept.sbatch: --limits: 'nowhere.toml' cannot be read on node0" limits.log
check "a rank on each node, bound to its cores" bash -c \
  "h5dump -d /provenance/binding '$night' | tr , '\n' | grep -c cores | grep -qx 4"

"$rack" slow-link node1 node2 10%
check "a run over a slow link" on_head srun --nodes 4 --ntasks-per-node 1 --kill-on-bad-exit=1 rackproof run --suite links \
  --link-sizes 1MiB '--benchmark_filter=one-way' --time-budget 20s --out slow.h5
check "it is named" names show slow.h5 'link node1 \(rank 1, host:0\) <-> node2 \(rank 2, host:0\)'
check "... and nobody else" bash -c "! grep -E 'node (node[0-3])|link node[03]|<-> node[03] .*takes' output"
"$rack" heal

export RACKPROOF_REQUEUES=0
part() { find . -name 'rackproof-nightly-*.h5.part' -size +0; }
on_head sbatch --wait --nodes 4 --array 1 --output death.log "$nightly" --suite allreduce --order listed --time-budget 200s \
  >submitted.log 2>&1 &
job=$!
for ((i = 0; i < 600; ++i)); do
  [[ -z $(part) ]] || break
  sleep 0.2
done
check "a night begins" [ -n "$(part)" ]
sleep 10
"$rack" kill node3
check "a night whose node dies ends with 75" ends_with 75 wait "$job"
# The watchdog; Slurm may hold the node for dead only later.
check "it says which one" grep -q "rank 3 on node3: its node's watchdog does not answer" death.log
check "... and how to take it out of service" grep -q '^drain: scontrol update NodeName=node3 State=DRAIN .*verdict=SUSPECT' death.log
check "... and nobody else" bash -c "! grep '^drain:' death.log | grep -v node3"
check "what it had finished is kept" bash -c "
  file=\$(find . -name 'rackproof-nightly-*_1.h5' -newer slow.h5) && '$build/rackproof' show \$file | grep -q recovered"
"$rack" heal
idle() {
  for ((i = 0; i < 150; ++i)); do
    [[ $(on_head sinfo --noheader --Node --states idle --format %N | sort -u | wc -l) -eq 4 ]] && return 0
    sleep 0.2
  done
  on_head sinfo --Node
  return 1
}
check "healed, the rack takes jobs again" idle

# The other end of a link that was cut takes part again, too.
reaches_slurmd() {
  for ((i = 0; i < 50; ++i)); do
    on node0 bash -c 'exec 3<>/dev/tcp/node1/6818' && return 0
    sleep 0.2
  done
  return 1
}
"$rack" slow-link node0 node1 0
"$rack" kill node1
"$rack" heal node1
check "a node that is healed alone is reached over the link that was cut" reaches_slurmd

"$rack" slow-node node1 50%
"$rack" freeze node0
"$rack" down
check "of a rack with faults nothing is left" nothing_left
(timeout --signal KILL 1 "$rack" up --nodes 4 --build "$build" || true) >/dev/null 2>&1
"$rack" down
check "of an up that was killed nothing is left" nothing_left
if [[ $failures -eq 0 ]]; then echo "all passed in $SECONDS s"; else echo "$failures failed"; fi

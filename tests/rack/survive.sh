#!/usr/bin/env bash
# Faults on a rack of five hosts on this machine, with a real Slurm: nothing that had finished is lost, the job ends in
# time and with 75, and the requeued job goes on to the end. The table of launch/slurm/README.md is from here.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/rack/survive.sh [--build DIR] [--short] [--only REGEX] [--or-skip] [--no-install]

As root. Starts a virtual rack of its own (launch/virtual-rack) and runs launch/slurm/nightly.sbatch on four of its five
nodes, two ranks on each. In each run something breaks once a few cases have finished; then the job is requeued. Looked at is
that the job ends within the watchdog's time-out and 30 s, with 75 (or survives, where that is what should happen), that one
which breaks off names who or what is at fault, that every case that had finished is in the file afterwards with the same
numbers, and that the requeued job completes that file.

  --build DIR    the build to test (default: build/release)
  --short        one fault of each kind
  --only REGEX   the faults whose name matches
  --or-skip      where this machine lets nobody make namespaces, say so and exit 77
  --no-install   install nothing: name the missing packages and exit 2

Exit code: 0, 1 something failed, 2 usage.
TEXT
}

# shellcheck source=tests/rack/rack.sh
source "$(dirname "${BASH_SOURCE[0]}")/rack.sh"
short=no
only=.
while [[ $# -gt 0 ]]; do
  case $1 in
    --build | --only)
      [[ $# -ge 2 ]] || refuse "$1 needs a value"
      if [[ $1 == --build ]]; then build=$2; else only=$2; fi
      shift
      ;;
    --short) short=yes ;;
    --or-skip) or_skip=yes ;;
    --no-install) up+=(--no-install) ;;
    --help | -h) usage && exit 0 ;;
    *) refuse "unknown argument '$1'; see --help" ;;
  esac
  shift
done
build=$(readlink -m "$build")

# Seconds without progress after which `rackproof run` ends itself.
readonly timeout=20
# Ten cases, so that some have finished at any moment.
arguments=(--suite allreduce '--benchmark_filter=^allreduce/f32/.*out-of-place' --max-message-size 1MiB --max-samples 100
  --time-budget 30s --hang-timeout "${timeout}s")
rows=()

now() { date +%s.%N; }
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.0f", to - from }'; }

# What breaks, and what heals. `looker`: the host that sees the files.
looker="head"
kill_processes() { # HOST NAME
  local pid
  for pid in $(on "$1" pgrep -x "$2"); do on "$1" kill -KILL "$pid"; done
}
cut_for() {
  "$rack" slow-link "$1" switch 0
  sleep "$2"
  "$rack" heal "$1"
}
stop_for() {
  "$rack" freeze 3
  sleep "$1"
  "$rack" heal node1
}
fill_disk() { on node0 dd if=/dev/zero "of=$folder/$scenario/ballast" bs=64k status=none 2>/dev/null || true; }

break_it() {
  case $scenario in
    rank-killed) "$rack" kill 5 ;;
    rank-0-killed) "$rack" kill 0 ;;
    processes-of-a-node-killed) kill_processes node2 rackproof ;;
    node-dead) "$rack" kill node3 ;;
    node-of-the-script-dead) "$rack" kill node0 ;;
    slurmd-killed) kill_processes node2 slurmd ;;
    rank-stopped-8s) stop_for 8 ;;
    rank-stopped-60s) stop_for 60 & ;;
    disk-full) fill_disk ;;
    network-cut-10s) cut_for node2 10 ;;
    network-cut) "$rack" slow-link node2 switch 0 ;;
  esac >>"$folder/$scenario/broken.log" 2>&1
}
mend() {
  wait # for a pause that goes on
  case $scenario in
    node-dead | node-of-the-script-dead) ;; # the requeued job takes another node
    disk-full) on node0 rm "$folder/$scenario/ballast" ;;
    *) "$rack" heal ;;
  esac >>"$folder/$scenario/broken.log" 2>&1
}
# May a run survive it?
may_survive() { [[ $1 =~ ^(slurmd-killed|rank-stopped-8s|network-cut-10s)$ ]]; }
# Whom or what a run that breaks off must name: a regular expression.
must_name() {
  case $1 in
    rank-killed) echo '(rank|task) 5 on node2' ;;
    rank-0-killed) echo '(rank|task) 0 on node0' ;;
    processes-of-a-node-killed) echo '(rank|tasks?) [-,0-9]+ on node2' ;;
    node-dead) echo "rank [67] on node3: its node's watchdog does not answer|dead: [a-z0-9,]*node3" ;;
    node-of-the-script-dead) echo 'node0 is down' ;;
    rank-stopped-60s) echo 'rank 3 on node1: stopped \(T\)' ;;
    disk-full) echo 'No space left on device' ;;
    network-cut) echo "rank [45] on node2: its node's watchdog does not answer|dead: [a-z0-9,]*node2" ;;
    *) echo . ;; # it may survive, and name nobody
  esac
}

state_of() { on head scontrol show job -o "$1" 2>/dev/null | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p' | head -n 1; }
exit_code_of() { on head scontrol show job -o "$1" 2>/dev/null | sed -n 's/.* ExitCode=\([0-9]*\):.*/\1/p' | head -n 1; }
# wait_while SECONDS STATE... -- JOB: false where it still is in one of the states then.
wait_while() {
  local end=$((SECONDS + $1)) states=' ' state
  shift
  while [[ $1 != -- ]]; do
    states+="$1 "
    shift
  done
  while :; do
    state=$(state_of "$2")
    [[ -z $state || $states == *" $state "* ]] || return 0
    [[ $SECONDS -lt $end ]] || return 1
    sleep 0.3
  done
}
# With the batch script's node goes everybody who could give an exit code: another node has the job put back.
has_no_script() { [[ $1 == node-of-the-script-dead ]]; }
restarts_of() { on head scontrol show job -o "$1" 2>/dev/null | sed -n 's/.* Restarts=\([0-9]*\) .*/\1/p' | head -n 1; }
wait_for_restart() { # SECONDS JOB
  local end=$((SECONDS + $1))
  while [[ $(restarts_of "$2") != [1-9]* ]]; do
    [[ $SECONDS -lt $end ]] || return 1
    sleep 0.3
  done
}
# The finished cases in a file, each with all of its numbers, one line a rank. Left out is whether the file is recovered
# or whole.
cases_in() {
  on "$looker" rackproof export "$1" --format csv 2>/dev/null | grep ',passed,' | cut -d , -f 1-4,7- | sort || true
}
count_cases() { sed -n 's/.*,allreduce,\([^,]*\),passed,.*/\1/p' | sort -u | grep -c . || true; }
not_run_in() { on "$looker" rackproof show "$1" --case . | awk '/ not run/ { ++n } END { print n + 0 }'; }
usable() { on head sinfo --noheader --Node --states idle --format %N 2>/dev/null | sort -u | wc -l; }
wait_for_nodes() {
  local end=$((SECONDS + 90))
  while [[ $(usable) -lt 4 && $SECONDS -lt $end ]]; do sleep 0.5; done
}
# Whom the first attempt named.
named_in() {
  {
    sed -nE 's/^rackproof:   (rank [0-9]+ on [a-z0-9]+) \([^)]*\): ([a-z]+ [a-z(A-Z)]+).*/\1: \2/p; s/^rackproof:   (rank [0-9]+ on [a-z0-9]+: its node.*)/\1/p' "$1" | grep -v furthest | head -n 3
    sed -nE 's/^srun: error: (node[0-9]+): tasks? ([-0-9,]+): (Killed|Terminated)$/srun: task \2 on \1 killed/p' "$1" | head -n 1
    sed -nE 's/^rackproof: .*cannot be written: ([^;]*).*/\1/p' "$1" | head -n 1
    sed -nE 's/.*the run broke off .*(dead: [a-z0-9,]+).*/\1/p' "$1" | head -n 1
  } | paste -sd ';' | sed 's/;/; /g'
}

fail() {
  echo "FAILED  $scenario: $*"
  failures=$((failures + 1))
}

# Submits the job, and waits until three cases have finished: sets job, file.
start() {
  local end=$((SECONDS + 120)) requeues=0
  # One for the node that has the job put back.
  if has_no_script "$scenario"; then requeues=1; fi
  job=$(RACKPROOF_OUT=$here RACKPROOF_REQUEUES=$requeues on head sbatch --parsable --nodes 4 --array 1 --output "$log" \
    "$folder/slurm/nightly.sbatch" "${arguments[@]}")_1
  file=$here/rackproof-nightly-$job.h5
  while [[ $(cases_in "$file.part" | count_cases) -lt 3 ]]; do
    if [[ $SECONDS -gt $end ]]; then break; fi
    [[ ! $(state_of "$job") =~ ^(FAILED|COMPLETED|CANCELLED|NODE_FAIL)$ ]] || break
    sleep 0.2
  done
  [[ $(cases_in "$file.part" | count_cases) -lt 3 ]] || return 0
  fail "no three cases finished ($(state_of "$job")): $(tail -n 3 "$log" 2>/dev/null)"
  on head scancel "$job" || true
  return 1
}

# Puts the job back into the queue, and waits for its end.
go_on() {
  wait_for_nodes
  if ! has_no_script "$scenario" && [[ $(state_of "$job") != PENDING ]]; then on head scontrol requeue "$job" || fail "it cannot be requeued"; fi
  wait_while 240 PENDING RUNNING COMPLETING CONFIGURING -- "$job" || fail "the requeued job does not end"
  [[ $(exit_code_of "$job") == 0 && $(state_of "$job") == COMPLETED && $(not_run_in "$file") == 0 ]]
}

# One fault: a row of the table.
run_scenario() {
  scenario=$1
  local here=$folder/$scenario job file log from seconds code kept=0 lost resumed=no named
  mkdir -p "$here"
  looker="head"
  if [[ $scenario == disk-full ]]; then
    looker=node0
    on node0 mount -t tmpfs -o size=64m tmpfs "$here"
  fi
  log=$folder/$scenario.log
  start || return 0
  cases_in "$file.part" >"$here.before"
  from=$(now)
  break_it
  if has_no_script "$scenario"; then
    wait_for_restart 240 "$job" || fail "nobody puts the job back into the queue"
    seconds=$(since "$from")
    code=-
    named="Slurm: $(on head sinfo --noheader --states down --format %N) is down"
  else
    wait_while 240 RUNNING COMPLETING PENDING -- "$job" || fail "the job does not end"
    seconds=$(since "$from")
    code=$(exit_code_of "$job")
    named=$(named_in "$log")
  fi
  cp "$log" "$folder/$scenario.first.log"
  mend
  if [[ $code != 0 || $(state_of "$job") != COMPLETED ]]; then
    if go_on; then resumed=yes; fi
  else
    resumed=-
  fi
  : >"$here.after"
  if ! on "$looker" test -e "$file"; then fail "there is no $file"; else cases_in "$file" >"$here.after"; fi
  kept=$(count_cases <"$here.before")
  lost=$(comm -23 "$here.before" "$here.after" | count_cases)
  # start() has seen three.
  [[ $kept -ge 3 ]] || fail "the finished cases could not be read when it broke: only $kept are known"
  [[ $lost == 0 ]] || fail "$lost of $kept finished cases are not in the file as they were"
  [[ $resumed != no ]] || fail "the requeued job did not complete the file: $(tail -n 3 "$log")"
  [[ $seconds -le $((timeout + 30)) ]] || may_survive "$scenario" || fail "it took $seconds s to end"
  if ! has_no_script "$scenario" && [[ $code != 75 ]] && { [[ $code != 0 ]] || ! may_survive "$scenario"; }; then
    fail "exit code $code ($(state_of "$job"))"
  fi
  [[ ${named:-nobody} =~ $(must_name "$scenario") ]] || fail "it names ${named:-nobody}"
  if [[ $scenario =~ ^node-(of-the-script-)?dead$ ]]; then
    on "$looker" rackproof show "$file" --case . | grep -q '^launch 2 .*node4' || fail "the file does not name the node that went on"
    "$rack" heal >/dev/null 2>&1
  fi
  rows+=("| $scenario | $code | $seconds | $((kept - lost)) of $kept | $resumed | ${named:-nobody} |")
  echo "${rows[-1]}"
  wait_for_nodes
}

all=(rank-killed rank-0-killed processes-of-a-node-killed node-dead node-of-the-script-dead slurmd-killed
  rank-stopped-8s rank-stopped-60s disk-full network-cut-10s network-cut)
if [[ $short == yes ]]; then all=(rank-killed node-dead rank-stopped-60s disk-full network-cut); fi

begin live
export RACKPROOF_RANKS_PER_NODE=2 RACKPROOF_PROFILE=quick
# Under /tmp the rack's hosts would not see it.
cp -r "$root/launch/slurm" "$folder/slurm"
"$rack" up --nodes 5 --build "$folder/bin" "${up[@]}"
for scenario in "${all[@]}"; do
  [[ ! $scenario =~ $only ]] || run_scenario "$scenario"
done
echo
echo "| fault | exit code | s to the end | finished cases kept | requeued: completed | named |"
echo "|---|---|---|---|---|---|"
printf '%s\n' "${rows[@]}"
if [[ $failures -eq 0 ]]; then echo "all survived, in $SECONDS s"; else echo "$failures failed, in $SECONDS s"; fi

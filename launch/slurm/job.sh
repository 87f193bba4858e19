# shellcheck shell=bash
# What the batch scripts of this folder share. Read by them with `source`; README.md has the variables.

# A line for the job's log.
say() { echo "${script:-job}: $*" >&2; }
die() {
  say "$*"
  exit 2
}

# The lines at the head of the script.
if [[ ${1-} == --help || ${1-} == -h ]]; then
  sed -n '/^#!/d; /^#SBATCH/d; /^#/!q; s/^# \{0,1\}//p' "$0"
  exit 0
fi
[[ -n ${SLURM_JOB_ID-} ]] || die "this is a batch script: sbatch --nodes N $0"
# shellcheck disable=SC2154 # set by those who read this file
job_root=$(cd "$job_folder/../.." && pwd)

# rackproof: given, on the PATH, or built beside this folder.
rackproof=${RACKPROOF-}
[[ -n $rackproof ]] || rackproof=$(command -v rackproof) || rackproof=$job_root/build/release/rackproof
[[ -x $rackproof ]] || die "no rackproof at '$rackproof'; build it on a file system that all nodes see, or set RACKPROOF"

# Whatever node, GPU driver and NUMA domains: the same on all nodes, or `rackproof run` says who differs.
count_gpus() {
  local devices
  if [[ -n ${SLURM_GPUS_ON_NODE-} ]]; then
    echo "$SLURM_GPUS_ON_NODE"
    return
  fi
  devices=$(find /dev -maxdepth 1 -name 'nvidia[0-9]*' | wc -l)
  echo "$devices"
}
count_numa_domains() { lscpu --parse=NODE | grep -v '^#' | sort -u | wc -l; }

# cores_of CPUS: how many cores so many of Slurm's CPUs are. These are hardware threads, or, where its configuration knows
# none, cores: a whole node then has as many CPUs as cores.
cores_of() {
  local cores cpus
  cpus=$(lscpu --parse=CORE,CPU | grep -vc '^#') || true
  cores=$(lscpu --parse=CORE,CPU | sed '/^#/d; s/,.*//' | sort -u | wc -l)
  if [[ $cores -eq 0 || $1 -eq $cores ]]; then echo "$1"; else echo $((($1 * cores + cpus - 1) / cpus)); fi
}

# Sets ranks_per_node, cpus_on_node, cpus_per_rank: one rank a GPU, or a NUMA domain where there is no GPU.
plan_ranks() {
  ranks_per_node=${RACKPROOF_RANKS_PER_NODE:-$(count_gpus)}
  [[ $ranks_per_node != 0 ]] || ranks_per_node=$(count_numa_domains)
  [[ $ranks_per_node =~ ^[1-9][0-9]{0,3}$ ]] || die "RACKPROOF_RANKS_PER_NODE '$ranks_per_node' is no positive number"
  cpus_on_node=${SLURM_CPUS_ON_NODE:-$(env -u OMP_NUM_THREADS nproc)}
  cpus_per_rank=$((cpus_on_node / ranks_per_node))
}

# Sets launch: how ranks are started in this allocation.
plan_launch() {
  plan_ranks
  local how=${RACKPROOF_LAUNCH:-pmix} ranks=$((SLURM_JOB_NUM_NODES * ranks_per_node)) extra=()
  # shellcheck disable=SC2206 # words
  extra=(${RACKPROOF_LAUNCH_OPTIONS-})
  case $how in
    pmix | pmi2)
      # --kill-on-bad-exit: what waits for a rank that died would wait for ever.
      launch=(srun "--mpi=$how" --kill-on-bad-exit=1 --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$ranks"
        --ntasks-per-node="$ranks_per_node")
      if [[ $cpus_per_rank -ge 1 ]]; then
        launch+=(--cpus-per-task="$cpus_per_rank" --cpu-bind=cores)
      else
        launch+=(--overcommit --cpu-bind=none)
      fi
      ;;
    mpirun)
      launch=(mpirun -n "$ranks")
      case $(mpirun --version 2>&1) in
        *"Open MPI"* | *OpenRTE* | *PRRTE*)
          # PE counts cores.
          local cores_per_rank=$(($(cores_of "$cpus_on_node") / ranks_per_node))
          if [[ $cores_per_rank -ge 1 ]]; then
            launch+=(--map-by "ppr:$ranks_per_node:node:PE=$cores_per_rank" --bind-to core)
          else
            launch+=(--map-by "ppr:$ranks_per_node:node" --oversubscribe --bind-to none)
          fi
          ;;
        *) launch+=(-ppn "$ranks_per_node") ;; # Hydra
      esac
      ;;
    *) die "RACKPROOF_LAUNCH '$how' is none of pmix, pmi2, mpirun" ;;
  esac
  launch+=("${extra[@]}")
}

# Nodes of this job that Slurm holds for dead, one a line; none where Slurm does not answer.
dead_nodes() {
  { sinfo --noheader --Node --nodes "$SLURM_JOB_NODELIST" --format '%N %T' 2>/dev/null || true; } |
    awk '$2 ~ /down|fail|unknown|not_resp|\*/ { print $1 }' | sort -u
}

# Where the job's log ends now; nothing where stderr is no file.
log_end() { [[ ! -f /proc/$$/fd/2 ]] || stat --dereference --format %s "/proc/$$/fd/2" 2>/dev/null || true; }

# stuck_nodes FROM: the nodes that the watchdog of a step, in the job's log from byte FROM on, or Slurm has named, in the
# lines that drain_nodes reads. STUCK: a rank there is stopped or waits in the kernel, and not so on most of the nodes.
# SUSPECT: it may be the network, a file system or the program as well. Where all ranks are equally far, it is no node.
stuck_nodes() {
  {
    [[ -z $1 ]] || tail -c "+$(($1 + 1))" "/proc/$$/fd/2" 2>/dev/null | awk -v nodes="$SLURM_JOB_NUM_NODES" '
      /^rackproof: the run hangs: .* all are equally far/ { equal = 1 }
      /^rackproof:   rank [0-9]+ on [^ ]+/ {
        host = $5
        what = $0
        if (sub(/^rackproof:   rank [0-9]+ on [^ :]+: /, "", what)) {
          sub(/:$/, "", host)
          verdict = "SUSPECT"
        } else if (sub(/^rackproof:   rank [0-9]+ on [^ ]+ \([^)]*\): /, "", what)) {
          verdict = what ~ /^(stopped|waiting in the kernel) / ? "STUCK" : equal ? "" : "SUSPECT"
        } else {
          next
        }
        if (verdict == "STUCK" && !(host in stuck)) {
          stuck[host] = 1
          ++many
        }
        verdicts[++told] = verdict
        lines[told] = "node\t" host "\trank " $3 "\t" what
      }
      END {
        for (i = 1; i <= told; ++i) {
          if (verdicts[i] == "STUCK" && 2 * many > nodes) verdicts[i] = "SUSPECT"
          if (verdicts[i] != "") print verdicts[i] "\t" lines[i]
        }
      }' || true
    dead_nodes | sed 's/.*/SUSPECT\tnode\t&\tnode\tdead for Slurm/'
  } | sort -s -t $'\t' -k 1,1
}

# ends_as_infrastructure CODE: an end that is none of rackproof's own, or one that a dead node explains.
ends_as_infrastructure() {
  case $1 in
    0 | 2 | 3 | 4) return 1 ;;
    1) [[ -n $(dead_nodes) ]] ;; # srun's own failures are 1, too
    *) return 0 ;;
  esac
}

step=
stopped=
# Seconds that `rackproof run` has for the case in flight and for closing its file, before it is ended from outside.
readonly step_patience=75
# --signal=B:USR1@120: the time is nearly over. TERM: cancelled or preempted. srun and mpirun hand SIGUSR1 to the ranks,
# which end in order upon it; on SIGTERM both end the ranks themselves.
stop_step() {
  stopped=$1
  [[ -n $step ]] || return 0
  kill -USR1 "$step" 2>/dev/null || true
  [[ -n $impatience ]] || {
    # shellcheck disable=SC2016 # for the inner shell
    bash -c 'sleep "$1"; kill -TERM "$2"' bash "$step_patience" "$step" </dev/null >/dev/null 2>&1 &
    impatience=$!
  }
}
impatience=
trap 'stop_step "the wall-time limit is near"' USR1
trap 'stop_step "the job was told to end"' TERM

# yes: nodes at fault are drained, and not only named
drain=no

# look_after requeue|cancel: a job with --no-kill outlives its nodes. Where the one that runs this script dies, nobody would
# be left to end the job, and it would keep the other nodes until its time is over. So one of these looks every ten seconds
# whether Slurm holds it for dead, and has the job put back into the queue, or cancelled.
look_after() {
  local own=${SLURMD_NODENAME:-$(hostname -s)} other
  other=$(scontrol show hostnames "${SLURM_JOB_NODELIST-}" 2>/dev/null | grep -vxF "$own" | head -n 1) || true
  [[ -n $other ]] || return 0
  # shellcheck disable=SC2016 # for the shell there
  srun --overlap --mpi=none --nodes=1 --ntasks=1 --ntasks-per-node=1 --nodelist="$other" --cpu-bind=none bash -c '
    while sleep 10; do
      [[ $(sinfo --noheader --Node --nodes "$1" --format %T | head -n 1) == down* ]] || continue
      if [[ $2 == requeue ]]; then scontrol requeue "$3"; else scancel "$3"; fi && exit
    done' bash "$own" "$1" "$SLURM_JOB_ID" </dev/null >/dev/null 2>&1 &
}

# run_step ARGUMENT...: `rackproof run` on all nodes; sets `code` to one of rackproof's exit codes. Where it broke off, the
# nodes that look like the cause are named.
run_step() {
  local dead from
  from=$(log_end)
  code=0
  "${launch[@]}" "${program:-$rackproof}" run "$@" </dev/null &
  step=$!
  wait "$step" || code=$?
  while kill -0 "$step" 2>/dev/null; do # a trap ends `wait`, not the step
    code=0
    wait "$step" || code=$?
  done
  step=
  if [[ -n $impatience ]]; then
    kill "$impatience" 2>/dev/null || true
    impatience=
  fi
  if [[ -n $stopped && $code -ne 0 ]] || ends_as_infrastructure "$code"; then
    dead=$(dead_nodes | paste -sd ,)
    say "the run broke off (${stopped:-exit code $code}${dead:+, dead: $dead})"
    code=75
    drain_nodes <(stuck_nodes "$from") "$drain"
  fi
}

# measure FILE ARGUMENT...: a run into FILE, which then has what a run that broke off had finished.
measure() {
  local file=$1
  shift
  run_step --out "$file" "$@"
  if [[ ! -e $file ]]; then recover_part "$file"; fi
}

# go_on FILE ARGUMENT...: a run into FILE that goes on with what an earlier one has left there, if one has. What is
# finished when this one breaks off stays, in FILE or FILE.part, for the next.
go_on() {
  local file=$1
  shift
  run_step --resume "$file" "$@"
}

# recover_part FILE: makes FILE of FILE.part, if that is there: nobody will go on with it.
recover_part() {
  [[ -e $1.part ]] || return 0
  if "$rackproof" recover "$1.part" --out "$1" --force; then rm -f "$1.part"; fi
}

# worse A B: of two exit codes the one that the job ends with. One that rackproof does not have, as of a crash, is 1.
worse() {
  local a=$1 b=$2 one
  [[ $a =~ ^([0-4]|75)$ ]] || a=1
  [[ $b =~ ^([0-4]|75)$ ]] || b=1
  for one in 2 1 75 3 4 0; do
    if [[ $a == "$one" || $b == "$one" ]]; then
      echo "$one"
      return
    fi
  done
}

# drain_nodes FILE yes|no: of each node at fault, as `rackproof accept --faults` or stuck_nodes printed them, the command
# that takes it out of service, with the reason; executed where the second word is yes, but for a node that is only suspect.
# Its lines: verdict TAB kind TAB host TAB part TAB reason.
drain_nodes() {
  local verdict kind host part reason told=' ' command
  while IFS=$'\t' read -r verdict kind host part reason; do
    case $kind in node | device) ;; *) continue ;; esac
    [[ $verdict =~ ^(FAIL|INTERMITTENT|STUCK|SUSPECT)$ ]] || continue
    [[ $host =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ && $told != *" $host "* ]] || continue
    told+="$host "
    reason="rackproof verdict=$verdict kind=$kind part=$part job=$SLURM_JOB_ID why=$reason"
    # What comes from a result file is neither quoting nor a second command to anybody, and Slurm keeps one line.
    reason=$(tr -cd 'A-Za-z0-9 ._:/=+,<>@%-' <<<"$reason" | cut -c 1-250)
    command=(scontrol update "NodeName=${host%%.*}" State=DRAIN "Reason=$reason")
    echo "drain: scontrol update NodeName=${host%%.*} State=DRAIN Reason=\"$reason\""
    if [[ $2 == yes && $verdict != SUSPECT ]]; then
      "${command[@]}" </dev/null || say "draining $host failed; the command is above"
    fi
  done <"$1"
}

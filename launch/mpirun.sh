# shellcheck shell=bash
# How mpirun is called on one machine. Read with `source` by launch/local.sh and launch/ab.sh.

# usable_cores: cores, not hardware threads, as far as this process may use them.
usable_cores() {
  local usable cores
  usable=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
  cores=$(lscpu --parse=CORE,SOCKET | grep -v '^#' | sort -u | wc -l)
  echo $((cores < usable ? cores : usable))
}

# mpirun_command MPIRUN RANKS CORES: sets the array `launch` to MPIRUN and its options.
mpirun_command() {
  local mpirun=$1 ranks=$2 cores=$3
  launch=("$mpirun" -n "$ranks")
  case $("$mpirun" --version 2>&1) in
    *"Open MPI"* | *OpenRTE* | *PRRTE*)
      # --quiet: rackproof has said in one line what was wrong; mpirun need not say so again in ten.
      launch+=(--quiet)
      [[ $EUID -eq 0 ]] && launch+=(--allow-run-as-root)
      [[ $ranks -gt $cores ]] && launch+=(--oversubscribe)
      # A rank a core keeps its core; fewer ranks spread their threads over the cores.
      if [[ $ranks -eq $cores ]]; then launch+=(--bind-to core); else launch+=(--bind-to none); fi
      ;;
    *HYDRA* | *MPICH*)
      [[ $ranks -eq $cores ]] && launch+=(-bind-to core)
      ;;
  esac
  return 0
}

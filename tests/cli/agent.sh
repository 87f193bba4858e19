#!/bin/sh
# agent.sh HOST COMMAND...: what mpirun calls in place of ssh (plm_rsh_agent): runs the command on this machine with HOST
# for its name, so that MPI takes its ranks for those of another node.
host=$1
shift
# shellcheck disable=SC2016 # expanded by the inner shell
exec unshare --uts sh -c 'hostname "$0" && exec sh -c "$1"' "$host" "$*"

#!/usr/bin/env bash
# Our token suite beside llama.cpp's llama-bench on the same shape and machine, interleaved: one rank with 2 threads,
# 2 ranks with 1 thread each, llama-bench with 2 threads; again and again, because the machine changes meanwhile.
#
#   tests/bench/tokens_bench.sh LLAMA_BENCH MODEL.gguf RACKPROOF [ROUNDS] [TYPE]
#
# MODEL.gguf must have the shape of llama-100m in TYPE (bf16 or f32). Prefill: a prompt of 128 tokens; ours ends with the
# first token chosen, llama-bench's without. Decode: 64 tokens from an empty context (ours: from one token on).
# llama-bench says the mean of its repetitions, we say the median of the steps.
set -euo pipefail

if [ $# -lt 3 ]; then
  sed -n '2,9p' "$0" | sed 's/^# \{0,1\}//' >&2
  exit 2
fi
llama_bench=$1
gguf=$2
rackproof=$3
rounds=${4:-5}
type=${5:-bf16}
for file in "$llama_bench" "$gguf" "$rackproof"; do
  [ -r "$file" ] || { echo "tokens_bench: '$file' is not there" >&2; exit 2; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mpirun_options=()
if mpirun --version 2>/dev/null | grep -q 'Open MPI'; then
  mpirun_options+=(--oversubscribe)
  [ "$(id -u)" -ne 0 ] || mpirun_options+=(--allow-run-as-root)
fi

# peer PHASE_OPTIONS: tokens/s
peer() {
  "$llama_bench" -m "$gguf" -t 2 -r 3 -o jsonl "$@" 2>/dev/null |
    sed -n 's/.*"avg_ts": *\([0-9.e+]*\).*/\1/p' | tail -n 1
}

# ours RANKS THREADS PHASE: tokens/s
ours() {
  local launcher=()
  [ "$1" -eq 1 ] || launcher=(mpirun "${mpirun_options[@]}" -n "$1")
  OMP_NUM_THREADS=$2 "${launcher[@]}" "$rackproof" run --suite tokens --threads "$2" --model llama-100m \
    --token-types "$type" --prompt 128 --context 1 --benchmark_filter="/$3/" --time-budget 10s --progress never \
    --benchmark_out="$work/out.json" --out "$work/out.h5" --force >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  sed -n 's/.*"'"$3"'\[tokens\/s\]": *\([0-9.e+]*\).*/\1/p' "$work/out.json" | tail -n 1
}

printf '%5s  %9s %9s %9s %7s %7s   %9s %9s %9s %7s %7s\n' round 'prefill' '1x2' '2x1' 'ratio' 'ratio' \
  'decode' '1x2' '2x1' 'ratio' 'ratio'
for round in $(seq "$rounds"); do
  {
    peer -p 128 -n 0
    ours 1 2 prefill
    ours 2 1 prefill
    peer -p 0 -n 64
    ours 1 2 decode
    ours 2 1 decode
  } >"$work/round"
  mapfile -t values <"$work/round"
  [ "${#values[@]}" -eq 6 ] || { echo "tokens_bench: a figure is missing in round $round" >&2; exit 1; }
  echo "$round ${values[*]}" | tee -a "$work/all" | awk '{
    printf "%5d  %9.1f %9.1f %9.1f %7.2f %7.2f   %9.1f %9.1f %9.1f %7.2f %7.2f\n",
           $1, $2, $3, $4, $3 / $2, $4 / $2, $5, $6, $7, $6 / $5, $7 / $5 }'
done

# The median of each ratio over the rounds.
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
for ratio in '3 2 prefill, 1 rank x 2 threads' '4 2 prefill, 2 ranks x 1 thread' \
  '6 5 decode, 1 rank x 2 threads' '7 5 decode, 2 ranks x 1 thread'; do
  read -r ours peer name <<<"$ratio"
  printf '%-34s %5.2f x llama-bench\n' "$name" \
    "$(awk -v a="$ours" -v b="$peer" '{ print $a / $b }' "$work/all" | median)"
done

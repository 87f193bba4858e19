#!/usr/bin/env bash
# symbols.sh PROGRAM FAKE: the fake library has every function that the program takes from the real one, under the same
# version of the symbol.
set -euo pipefail
program=$1 fake=$2
soname=$(readelf -d "$fake" | sed -nE 's/.*\(SONAME\).*\[(.*)\]/\1/p')
wanted=$(nm -D --undefined-only "$program" | sed -nE "s/.* ([^ ]+@$soname)\$/\1/p" | sort)
[[ -n $wanted ]] || { echo "symbols.sh: $program takes nothing from $soname" && exit 1; }
has=$(nm -D --defined-only "$fake" | awk '{print $3}' | sed 's/@@/@/' | sort)
missing=$(comm -23 <(printf '%s\n' "$wanted") <(printf '%s\n' "$has"))
[[ -z $missing ]] || { printf '%s lacks:\n%s\n' "$fake" "$missing" && exit 1; }
echo "$(wc -l <<<"$wanted") functions of $soname"

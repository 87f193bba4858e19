#!/usr/bin/env bash
# shell.sh ROOT: every shell script parses, and shellcheck finds nothing in it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
cd "$1"
scripts=()
while IFS= read -r -d '' file; do
  if [[ $file == *.sh ]] || head -n 1 "$file" | grep -aqE '^#!.*\b(ba)?sh$'; then scripts+=("$file"); fi
done < <(sources . '*')
[[ ${#scripts[@]} -gt 0 ]] || { echo "shell.sh: no scripts under $1" && exit 1; }
for script in "${scripts[@]}"; do bash -n "$script"; done
shellcheck --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
echo "${#scripts[@]} scripts"

#!/usr/bin/env bash
# tidy.sh ROOT BUILD: clang-tidy, as ROOT/.clang-tidy says, on every source that BUILD compiles, tests apart.
set -euo pipefail
cd "$1"
mapfile -d '' files < <(python3 - "$2" <<'PYTHON'
import json, os, sys
commands = json.load(open(os.path.join(sys.argv[1], "compile_commands.json")))
# A file that is compiled more than once is checked once, with each of its commands.
for file in sorted({os.path.relpath(command["file"]) for command in commands}):
    if file.split(os.sep)[0] in ("common", "suites", "results", "launch"):
        print(file, end="\0")
PYTHON
)
[[ ${#files[@]} -gt 0 ]] || { echo "tidy.sh: $2/compile_commands.json has no source of ours" && exit 1; }

# The warnings of system headers that were suppressed are counted file by file: of no use here.
tidy() {
  set -o pipefail
  clang-tidy-14 -p "$1" --quiet "$2" 2>&1 | { grep -vE '^[0-9]+ warnings? (generated|treated as errors?)' || true; }
}
export -f tidy
# shellcheck disable=SC2016 # expanded by the inner shell
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy "$0" "$1"' "$2"
echo "${#files[@]} files"

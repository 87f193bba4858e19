#!/usr/bin/env bash
# tidy.sh ROOT BUILD: clang-tidy, as ROOT/.clang-tidy says, on every source that BUILD compiles, tests apart. Several
# sources go through it in one piece (CMake's unity build), which reads and checks their headers once: less than half
# the time.
set -euo pipefail
cd "$1"
pieces=$2/tidy
mapfile -t same < <(
  sed -nE 's/^(RACKPROOF_MPI|MPI_C_COMPILER|MPI_CXX_COMPILER|MPIEXEC_EXECUTABLE):[A-Z]+=(.*)$/-D\1=\2/p' "$2/CMakeCache.txt"
)
cmake -S . -B "$pieces" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=32 \
  -DRACKPROOF_TESTS=OFF "${same[@]}" >"$2/tidy.log" 2>&1 || { cat "$2/tidy.log" && exit 1; }
mapfile -d '' files < <(python3 - "$pieces" <<'PYTHON'
import json, os, sys
commands = json.load(open(os.path.join(sys.argv[1], "compile_commands.json")))
# A file that is compiled more than once is checked once, with each of its commands. The largest come first, so that
# all cores are busy to the end.
def of_ours(file):
    path = os.path.relpath(file, sys.argv[1])
    # Not CUDA's: this clang knows neither nvcc's options nor the toolkit's headers.
    return "/Unity/" in file or (path.startswith("..") and not file.endswith(".cu"))
files = {command["file"] for command in commands if of_ours(command["file"])}
for file in sorted(files, key=lambda file: (-open(file).read().count("#include"), file)):
    print(file, end="\0")
PYTHON
)
[[ ${#files[@]} -gt 0 ]] || { echo "tidy.sh: $pieces/compile_commands.json has no source of ours" && exit 1; }

# The warnings of system headers that were suppressed are counted file by file: of no use here.
tidy() {
  set -o pipefail
  clang-tidy-14 -p "$1" --config-file=.clang-tidy --checks=-bugprone-suspicious-include --quiet "$2" 2>&1 |
    { grep -vE '^[0-9]+ warnings? (generated|treated as errors?)' || true; }
}
export -f tidy
# shellcheck disable=SC2016 # expanded by the inner shell
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy "$0" "$1"' "$pieces"
sources=$({ printf '%s\n' "${files[@]}" && sed -nE 's/^#include "(.*\.cpp)"$/\1/p' "${files[@]}"; } |
  grep -E "^$PWD/(common|suites|results|launch)/.*\.cpp$" | sort -u | wc -l)
echo "$sources files in ${#files[@]} pieces"

#!/usr/bin/env bash
# format.sh ROOT: every C++ file is as clang-format makes it. To mend: clang-format-14 -i FILE.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
cd "$1"
mapfile -d '' files < <(sources . '*.cpp' '*.hpp' '*.cu' '*.cuh')
[[ ${#files[@]} -gt 0 ]] || { echo "format.sh: no C++ files under $1" && exit 1; }
clang-format-14 --dry-run -Werror "${files[@]}"
echo "${#files[@]} files"

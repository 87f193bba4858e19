# shellcheck shell=bash
# sources ROOT PATTERN...: the project's files that match, null-terminated, relative to ROOT: those that git tracks, or,
# outside of a clone (a release archive), all but build folders.
sources() {
  local root=$1 find_patterns=() pattern
  shift
  if git -C "$root" rev-parse --show-prefix 2>/dev/null | grep -q '^$'; then
    # Files that are new or deleted and not yet committed count as they stand.
    git -C "$root" ls-files -z --cached --others --exclude-standard -- "$@" | sort -zu |
      while IFS= read -r -d '' file; do
        if [[ -e $root/$file ]]; then printf '%s\0' "$file"; fi
      done
  else
    for pattern in "$@"; do find_patterns+=(-o -name "$pattern"); done
    (cd "$root" && find . -path ./build -prune -o -type f \( "${find_patterns[@]:1}" \) -printf '%P\0')
  fi
}

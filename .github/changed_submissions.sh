#!/usr/bin/env bash
# Prints the folders of submissions/ in which something changed since HEAD and BASE parted, each ended by a null byte,
# as names may hold anything else. Folders that are gone, and links, are left out.   changed_submissions.sh BASE
set -euo pipefail
git diff -z --name-only --no-renames "$1...HEAD" -- submissions/ | cut -z -d/ -f1-2 | sort -zu |
  while IFS= read -r -d '' folder; do
    if [[ -d $folder && ! -L $folder ]]; then printf '%s\0' "$folder"; fi
  done

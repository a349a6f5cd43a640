#!/usr/bin/env bash
# Fetches the verdicts that a run of somebody else's code has left, as hostile data: one regular file of a known name,
# at most so large, read by nothing here. The output `path` names it; empty where there is none.
set -uo pipefail
: "${RUN:?id of the run}" "${RUNNER_TEMP:?}" "${MOST_BYTES:=20000000}" "${NAME:=evalkit-report.json}" "${GITHUB_OUTPUT:=/dev/null}"
name=$NAME
folder=$RUNNER_TEMP/evalkit-fetched
mkdir -p "$folder"

artifacts=$(gh api "repos/$GITHUB_REPOSITORY/actions/runs/$RUN/artifacts?per_page=100" \
  --jq ".artifacts[] | select(.name == \"$name\" and (.expired | not)) | \"\(.size_in_bytes) \(.id)\"") || exit 3
read -r size id <<<"$(tail -n 1 <<<"$artifacts")"
if [ -z "${id:-}" ]; then
  echo "the run has left no verdicts"
  exit 0
fi
if ! [[ $size =~ ^[0-9]+$ && $id =~ ^[0-9]+$ ]] || [ "$size" -gt "$MOST_BYTES" ]; then
  echo "::warning::evalkit: the verdicts of the run are larger than $MOST_BYTES bytes, and are left alone"
  exit 0
fi

# It comes as it is or, from older servers, in a ZIP file; either way no more of it is kept than may be.
gh api "repos/$GITHUB_REPOSITORY/actions/artifacts/$id/zip" | head -c "$((MOST_BYTES + 1))" >"$folder/fetched"
if [ "$(head -c 2 "$folder/fetched")" = PK ]; then
  unzip -p "$folder/fetched" "$name" 2>/dev/null | head -c "$((MOST_BYTES + 1))" >"$folder/$name"
else
  mv "$folder/fetched" "$folder/$name"
fi
if [ ! -s "$folder/$name" ] || [ "$(wc -c <"$folder/$name")" -gt "$MOST_BYTES" ]; then
  echo "::warning::evalkit: the verdicts of the run cannot be read, or are too large, and are left alone"
  exit 0
fi
echo "path=$folder/$name" >>"$GITHUB_OUTPUT"

#!/usr/bin/env bash
# Brings the baseline into the store. The output `state` is `found`, `none` or `failed`; that it failed is for the next
# step to say, which then runs nothing: a baseline that is not what it should be must never look like none.
set -uo pipefail
: "${PROJECT:=.}" "${PLACE:?where the baseline is kept}" "${SHA256:=}" "${GITHUB_OUTPUT:=/dev/null}"
. "$(dirname "$0")/git-token.sh"

# What a cache brought along is no baseline, whatever it says.
rm -rf "$PROJECT/.evalkit/baselines"

pull() {
  if [ -n "$SHA256" ]; then
    python -m evalkit -C "$PROJECT" baseline pull "$PLACE" --sha256 "$SHA256"
  else
    python -m evalkit -C "$PROJECT" baseline pull "$PLACE"
  fi
}

pull
code=$?
if [ $code -ne 0 ] && [ $code -ne 4 ] && [ -d "$PROJECT/.evalkit/runs" ]; then
  echo "once more, without the trials that were kept of this pull request"
  rm -rf "$PROJECT/.evalkit"
  pull
  code=$?
fi
case $code in
  0) state=found ;;
  4) state=none ;;
  *) state=failed ;;
esac
echo "state=$state" >>"$GITHUB_OUTPUT"

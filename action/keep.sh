#!/usr/bin/env bash
# Keeps the baseline for other machines: joined with what is there, so that nothing that was accepted is lost.
set -uo pipefail
: "${PROJECT:=.}" "${PLACE:?where the baseline is kept}"
. "$(dirname "$0")/git-token.sh"
python -m evalkit -C "$PROJECT" baseline push "$PLACE"

#!/usr/bin/env bash
# The action's main step: a baseline where there is none, then the run. Inputs come by the
# environment only. The exit code of the run becomes an output; the last step of the action
# acts on it, so that the report is kept whatever the verdict.
set -uo pipefail
: "${PROJECT:=.}" "${WORKFLOWS:=}" "${ARGUMENTS:=}" "${BASELINE_REF:=}" "${SIMULATE:=false}"
: "${REPORT:?where the report goes}" "${GITHUB_OUTPUT:=/dev/null}"

read -r -a workflows <<<"$WORKFLOWS"
read -r -a arguments <<<"$ARGUMENTS"

evalkit_in() {
  local folder=$1
  shift
  if [ "$SIMULATE" = true ]; then
    python -m evalkit simulate exec -- python -m evalkit -C "$folder" "$@"
  else
    python -m evalkit -C "$folder" "$@"
  fi
}

# A commit's own files are run with the evalkit that is installed, in a worktree beside this one.
make_baseline() {
  local tree code
  tree=$(mktemp -d)
  git worktree add --quiet --detach "$tree" "$BASELINE_REF" || return 1
  echo "no baseline in the store: running $BASELINE_REF for one"
  evalkit_in "$tree/$PROJECT" run "${workflows[@]}" --set-baseline main --quiet --no-report
  code=$?
  if [ -d "$tree/$PROJECT/.evalkit" ]; then
    mkdir -p "$PROJECT/.evalkit"
    cp -R "$tree/$PROJECT/.evalkit/." "$PROJECT/.evalkit/"
  fi
  git worktree remove --force "$tree"
  return $code
}

if [ -n "$BASELINE_REF" ] && ! compgen -G "$PROJECT/.evalkit/baselines/*/*.json" >/dev/null; then
  make_baseline || echo "::warning::the baseline commit did not give a baseline"
fi

evalkit_in "$PROJECT" run "${workflows[@]}" "${arguments[@]}" --format github --report "$REPORT"
code=$?
{
  echo "exit-code=$code"
  if [ -f "$REPORT" ]; then echo "report-path=$REPORT"; fi
} >>"$GITHUB_OUTPUT"
exit 0

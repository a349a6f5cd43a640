#!/usr/bin/env bash
# The action's main step: a baseline where there is none, then the run, a shard of it, or the merge of all shards.
# Inputs come by the environment only. The exit code becomes an output; the last step of the action acts on it, so that
# the report is kept whatever the verdict.
set -uo pipefail
: "${PROJECT:=.}" "${WORKFLOWS:=}" "${ARGUMENTS:=}" "${BASELINE_STATE:=}" "${BASELINE_REF:=}" "${SIMULATE:=false}"
: "${SHARD:=}" "${MERGE:=}" "${REPORT:?where the report goes}"
: "${GITHUB_OUTPUT:=/dev/null}" "${GITHUB_STEP_SUMMARY:=/dev/null}"

read -r -a workflows <<<"$WORKFLOWS"
read -r -a arguments <<<"$ARGUMENTS"
results=$(dirname "$REPORT")
mkdir -p "$results"
outputs=$results/outputs
: >"$outputs"

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
  evalkit_in "$tree/$PROJECT" run ${workflows[@]+"${workflows[@]}"} --set-baseline main --quiet --no-report
  code=$?
  if [ -d "$tree/$PROJECT/.evalkit" ]; then
    mkdir -p "$PROJECT/.evalkit"
    cp -R "$tree/$PROJECT/.evalkit/." "$PROJECT/.evalkit/"
  fi
  git worktree remove --force "$tree"
  return $code
}

# Nothing was judged: that is said as clearly as a verdict, and is never a pass.
say_unjudged() {
  local verdict=ERROR why=$2
  if [ "$1" -eq 4 ]; then verdict="NOT COMPARABLE"; fi
  echo "verdict=$verdict" >>"$outputs"
  printf '### ✖ evalkit: %s\n\n%s Exit code %s; the log of this step says more.\n' "$verdict" "$why" "$1" \
    >>"$GITHUB_STEP_SUMMARY"
}

finish() {
  cat "$outputs" >>"$GITHUB_OUTPUT"
  echo "exit-code=$1" >>"$GITHUB_OUTPUT"
  exit 0
}

run_shard() {
  local before code name run
  if ! [[ $SHARD =~ ^[0-9]{1,4}/[0-9]{1,4}$ ]]; then
    echo "::error::evalkit: the input shard is I/N, such as 1/4"
    finish 2
  fi
  before=$(ls "$PROJECT/.evalkit/runs" 2>/dev/null)
  evalkit_in "$PROJECT" run ${workflows[@]+"${workflows[@]}"} ${arguments[@]+"${arguments[@]}"} --shard "$SHARD"
  code=$?
  if [ $code -eq 0 ]; then
    name=evalkit-shard-${SHARD//\//-of-}
    mkdir -p "$results/$name/runs" && cp -R "$PROJECT/.evalkit/cases" "$results/$name/" || finish 17
    for run in "$PROJECT/.evalkit/runs"/*; do
      if ! grep -qxF "$(basename "$run")" <<<"$before"; then
        cp -R "$run" "$results/$name/runs/" || finish 17
      fi
    done
    printf 'shard-name=%s\nshard-path=%s\n' "$name" "$results/$name" >>"$outputs"
  fi
  finish $code
}

if [ "$BASELINE_STATE" = failed ]; then
  echo "::error::evalkit: the baseline could not be fetched, or is not what it should be; nothing was run"
  say_unjudged 3 "The baseline could not be fetched, or is not what it should be: nothing was run."
  finish 3
fi

if [ -n "$BASELINE_REF" ] && ! compgen -G "$PROJECT/.evalkit/baselines/*/*.json" >/dev/null; then
  make_baseline || echo "::warning::the baseline commit did not give a baseline"
fi

if [ -n "$SHARD" ]; then run_shard; fi

if [ -n "$MERGE" ]; then
  names=()
  for name in ${workflows[@]+"${workflows[@]}"}; do names+=(--workflow "$name"); done
  shards=("$MERGE"/*/)
  GITHUB_OUTPUT=$outputs python -m evalkit -C "$PROJECT" merge ${names[@]+"${names[@]}"} "${shards[@]}" \
    --format github --report "$REPORT"
else
  GITHUB_OUTPUT=$outputs evalkit_in "$PROJECT" run ${workflows[@]+"${workflows[@]}"} \
    ${arguments[@]+"${arguments[@]}"} --format github --report "$REPORT"
fi
code=$?

if ! grep -q '^verdict=' "$outputs"; then
  if [ $code -eq 0 ]; then code=3; fi
  say_unjudged $code "There is no verdict."
fi
read -r -a runs <<<"$(sed -n 's/^run-id=//p' "$outputs")"
if [ ${#runs[@]} -gt 0 ]; then
  verdicts=${REPORT%.html}.json
  if python -m evalkit -C "$PROJECT" report "${runs[@]}" --format json -o "$verdicts" >/dev/null; then
    echo "verdict-path=$verdicts" >>"$outputs"
  fi
  if [ -f "$REPORT" ]; then echo "report-path=$REPORT" >>"$outputs"; fi
fi
finish $code

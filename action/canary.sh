#!/usr/bin/env bash
# Decides on a canary and says so in the job summary. The exit code is that of the decision, see docs/canary.md.
set -uo pipefail
: "${PROJECT:=.}" "${WORKFLOW:?whose canary is judged}" "${HOOKS:=false}" "${RUNNER_TEMP:?}"
: "${ENVELOPES:=$RUNNER_TEMP/envelopes}" "${GITHUB_STEP_SUMMARY:=/dev/null}"
if [ "$HOOKS" = true ]; then hooks=--hooks; else hooks=--no-hooks; fi
python -m evalkit -C "$PROJECT" run "$WORKFLOW" --canary --envelopes "$ENVELOPES" "$hooks" | tee "$RUNNER_TEMP/decision"
code=${PIPESTATUS[0]}
# Four blanks make it code: what a workflow is called cannot become anything else here.
{
  echo "### evalkit: canary, exit code $code"
  echo
  sed 's/^/    /' "$RUNNER_TEMP/decision"
} >>"$GITHUB_STEP_SUMMARY"
exit "$code"

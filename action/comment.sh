#!/usr/bin/env bash
# Says the verdict on the pull request. Whether that works never changes the verdict: the job summary has the same text.
set -uo pipefail
: "${PROJECT:=.}" "${WHEN:=auto}" "${RUNS:=}" "${REPORT_URL:=}"
case $WHEN in
  auto) when=changed ;;
  always | never) when=$WHEN ;;
  *)
    echo "::warning::evalkit: the input comment is auto, always or never; taken as auto"
    when=changed
    ;;
esac
read -r -a runs <<<"$RUNS"
link=()
if [ -n "$REPORT_URL" ]; then link=(--report-url "$REPORT_URL"); fi
python -m evalkit -C "$PROJECT" comment --no-summary --when "$when" ${link[@]+"${link[@]}"} ${runs[@]+"${runs[@]}"} ||
  echo "::notice::evalkit could not comment (exit code $?); the job summary has the same text"
exit 0

#!/usr/bin/env bash
# Browser tests need Chromium. On Debian as root it is installed; elsewhere deselect them: pytest -m "not browser".
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "== installing Chromium for the browser tests"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
else
  echo "== no Chromium found: the browser tests will fail; install it, or leave them out with -m 'not browser'"
fi

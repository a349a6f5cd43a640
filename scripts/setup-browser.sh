#!/usr/bin/env bash
# Browser tests need Chromium and axe-core. On Debian as root Chromium is installed; elsewhere deselect them:
# pytest -m "not browser". axe-core (MPL-2.0) is fetched for the tests only, by its digest; it is no part of evalkit.
set -euo pipefail
version=4.14.1
integrity=sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==

have_browser() {
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then return 0; fi
  done
  return 1
}

if ! have_browser; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "== installing Chromium for the browser tests"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
  else
    echo "== no Chromium found: the browser tests will fail; install it, or leave them out with -m 'not browser'"
  fi
fi

place="${EVALKIT_AXE_FOLDER:-.venv/axe-core}"
if [ ! -f "$place/package/axe.min.js" ]; then
  if ! command -v npm >/dev/null 2>&1; then
    echo "== no npm found: the accessibility tests will fail; install it, or set EVALKIT_AXE to axe-core's axe.min.js"
    exit 0
  fi
  echo "== fetching axe-core $version for the accessibility tests"
  mkdir -p "$place"
  (cd "$place" && npm pack --silent "axe-core@$version" >/dev/null)
  archive="$place/axe-core-$version.tgz"
  found="sha512-$(openssl dgst -sha512 -binary "$archive" | openssl base64 -A)"
  if [ "$found" != "$integrity" ]; then
    rm -f "$archive"
    echo "axe-core $version has digest $found, expected $integrity" >&2
    exit 1
  fi
  tar -xzf "$archive" -C "$place" package/axe.min.js package/LICENSE && rm -f "$archive"
fi

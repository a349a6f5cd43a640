#!/usr/bin/env bash
# Builds the distributions of a tag into dist/: with the locked build tools, from committed files, twice the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?the tag, vX.Y.Z}
python -m venv build/release
build/release/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.lock
version=$(build/release/bin/python -c 'import runpy; print(runpy.run_path("evalkit/_version.py")["__version__"])')
if [ "$tag" != "v$version" ]; then
  echo "the tag is $tag and evalkit/_version.py says $version" >&2
  exit 1
fi
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
rm -rf dist
build/release/bin/python -m hatchling build
(cd dist && sha256sum -- *)

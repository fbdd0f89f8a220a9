#!/bin/sh
# make.sh: writes sdk.json, sendgrid.json and the table in README.md anew.
# make.sh --check: fails if either is not what would be written.
# GATEKEEPER names the gate that is asked; without it, cargo builds one.
set -eu
[ -z "${GATEKEEPER:-}" ] || GATEKEEPER=$(realpath "$GATEKEEPER")
cd "$(dirname "$0")"

mkdir -p .cache
[ -x .cache/python/bin/python ] || python3 -m venv .cache/python
.cache/python/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
cp package.json .cache/
npm install --prefix .cache --silent --no-package-lock --no-audit --no-fund

python=.cache/python/bin/python
# Files and not a pipe, so that a failing step stops the rest.
$python make_vectors.py sign >.cache/signed.json
node make_vectors.mjs <.cache/signed.json >.cache/answered.json
$python make_vectors.py answer <.cache/answered.json >.cache/sdk.json
$python make_sendgrid.py >.cache/made.json
node make_sendgrid.mjs <.cache/made.json >.cache/sendgrid.json
if [ -z "${GATEKEEPER:-}" ]; then
  cargo build --locked --quiet
  GATEKEEPER=$(realpath "${CARGO_TARGET_DIR:-../../target}/debug/gatekeeper")
fi
GATEKEEPER=$GATEKEEPER $python ask_gate.py <.cache/sdk.json >.cache/gate.json
$python make_table.py .cache/sdk.json .cache/gate.json README.md >.cache/README.md

if [ "${1:-}" = "--check" ]; then
  status=0
  diff -u sdk.json .cache/sdk.json || status=1
  diff -u sendgrid.json .cache/sendgrid.json || status=1
  diff -u README.md .cache/README.md || status=1
  exit $status
fi
cp .cache/sdk.json .cache/sendgrid.json .cache/README.md .

#!/bin/sh
# install.sh: puts the apps' packages, with the versions named here, into .cache; does nothing where
# they are. nginx and haproxy come from Debian.
set -eu
cd "$(dirname "$0")"

wanted=$(cat requirements.txt package.json)
[ "$(cat .cache/installed 2>/dev/null)" = "$wanted" ] && exit

rm -rf .cache
python3 -m venv .cache/python
.cache/python/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
cp package.json .cache/
npm install --prefix .cache --silent --no-package-lock --no-audit --no-fund
printf '%s\n' "$wanted" >.cache/installed

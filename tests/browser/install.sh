#!/usr/bin/env bash
# Finds Chromium, or installs it as a system package; prints its path.
set -euo pipefail
find_browser() {
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" && return 0
  done
  mac="/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
  [ -x "$mac" ] && echo "$mac"
}
find_browser && exit 0
if command -v apt-get >/dev/null; then
  sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -q >&2
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium >&2
elif command -v brew >/dev/null; then
  brew install --cask chromium >&2
fi
find_browser || { echo "no Chromium found or installed: install it with your package manager" >&2; exit 1; }

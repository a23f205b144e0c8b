#!/bin/sh
# Takes away what install.sh put here: services, the command, the folder. Labels, logs and pictures elsewhere stay.
set -eu

link=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
prefix=$link
case $link in */releases/*) prefix=${link%/releases/*} ;; esac
[ -d "$prefix/releases" ] || {
    printf 'uninstall.sh: %s holds no edge-fm\n' "$prefix" >&2
    exit 1
}
for name in webcam watch; do
    unit=/etc/systemd/system/edge-fm-$name.service
    if [ -f "$unit" ] && grep -qF "$prefix/" "$unit"; then
        systemctl disable --now "edge-fm-$name"
        rm -f "$unit"
        systemctl daemon-reload
    fi
done
# A service manager may give no HOME.
for bin in /usr/local/bin "${HOME:-/root}/.local/bin"; do
    [ "$(readlink "$bin/edge-fm" 2>/dev/null)" != "$prefix/current/bin/edge-fm" ] || rm -f "$bin/edge-fm"
done
cd /
rm -rf "$prefix"
printf 'edge-fm is gone from %s\n' "$prefix"

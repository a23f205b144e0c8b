#!/bin/sh
# Removes the services, command and releases that install.sh recorded. All other files stay, and are listed.
# sh uninstall.sh --release DIR removes one release; install.sh calls it for an old or interrupted one.
set -eu

die() {
    printf 'uninstall.sh: %s\n' "$*" >&2
    exit 1
}

# Removes a release's own files. Models that were added or replaced since are kept beside the releases.
remove_release() {
    prefix_of=${1%/releases/*}
    kept=$prefix_of/kept-models/${1##*/}
    for model in "$1"/models/*; do
        [ -f "$model" ] || continue
        sum=$(sha256sum <"$model" | cut -c1-64)
        taken_over=$prefix_of/current/models/${model##*/}
        if [ ! "$model" -ef "$taken_over" ] && cmp -s -- "$model" "$taken_over"; then
            rm -f -- "$model" # the release in use has the same
        elif [ -f "$1/.models" ] && ! grep -qF "$sum" "$1/.models"; then
            mkdir -p "$kept"
            mv --backup=numbered -- "$model" "$kept/"
            printf 'kept: %s\n' "$kept/${model##*/}"
        fi
    done
    if [ -f "$1/.incomplete" ]; then
        rm -rf -- "$1" # no link has ever led to it
        return
    fi
    [ ! -f "$1/.files" ] || (
        cd "$1"
        # Remove recorded files that exist below here, so that no path leads out through a link or "..".
        find . ! -type d | LC_ALL=C sort | LC_ALL=C comm -12 - .files | tr '\n' '\0' | xargs -0 -r rm -f --
        find . -path './lib/*/__pycache__/*.pyc' -type f -exec rm -f -- {} +
        rm -f .files .models .complete .model.partial
        find . -depth -mindepth 1 -type d -exec rmdir --ignore-fail-on-non-empty {} +
    )
    rmdir "$1" 2>/dev/null || printf 'left: %s holds files that install.sh did not make\n' "$1"
}

if [ "${1:-}" = --release ]; then
    grep -qxF -- "releases/${2##*/}" "${2%/releases/*}/.edge-fm-install" 2>/dev/null ||
        die "--release needs the folder of a release that install.sh recorded"
    remove_release "$2"
    exit 0
fi

link=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
prefix=$link
[ -f "$link/.edge-fm-install" ] || case $link in */releases/*) prefix=${link%/releases/*} ;; esac
record=$prefix/.edge-fm-install
[ -f "$record" ] || die "$prefix has no .edge-fm-install, which names what to remove: nothing was removed"

cd /
while IFS= read -r entry; do
    case $entry in
    ../* | */../* | */.. | ..) ;;
    releases/*) [ ! -d "$prefix/$entry" ] || remove_release "$prefix/$entry" ;;
    /etc/systemd/system/edge-fm-*.service)
        if [ -f "$entry" ] && grep -qF -e "# edge-fm service of $prefix/" -e "ExecStart=$prefix/" -e "ExecStart=\"$prefix/" "$entry"; then
            systemctl disable --now "$(basename "$entry" .service)" || true # not where systemd does not run
            rm -f -- "$entry"
            systemctl daemon-reload || true
        fi
        ;;
    */edge-fm) [ "$(readlink "$entry" 2>/dev/null)" != "$prefix/current/bin/edge-fm" ] || rm -f -- "$entry" ;;
    current | current.new | uninstall.sh) [ ! -L "$prefix/$entry" ] || rm -f -- "$prefix/$entry" ;;
    esac
done <"$record"
rm -f -- "$record"
for folder in "$prefix/releases" "$prefix/bin" "$prefix"; do
    rmdir "$folder" 2>/dev/null || true
done
if [ -e "$prefix" ]; then
    printf 'edge-fm is removed from %s. Left there, since install.sh did not make it:\n' "$prefix"
    find "$prefix" -mindepth 1 \( ! -type d -o -empty \)
else
    printf 'edge-fm is removed from %s\n' "$prefix"
fi

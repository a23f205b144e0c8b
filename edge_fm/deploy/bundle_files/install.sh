#!/bin/sh
# Installs edge-fm from this folder, without a network: sh install.sh --help
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
machine=@MACHINE@
version=@PYTHON@
need_kb=@NEED_KB@
release=@RELEASE@

say() { printf '%s\n' "$*"; }
die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

usage() {
    cat <<TEXT
sh install.sh [--prefix DIR] [--python PATH] [--service webcam [ARGUMENT...] | --service watch FOLDER OUTPUT]

  --prefix DIR    folder of the installation; default: /opt/edge-fm for root, else ~/.local/share/edge-fm
  --python PATH   Python $version to use; default: python$version or python3
  --service ...   also install a systemd unit (needs root), for a live feed such as
                    --service webcam 0 --view web --model models/fashion.onnx
                  or for new files in a folder, such as
                    --service watch /srv/in /var/lib/edge-fm/labels.csv
Run it again to upgrade or repair: the old release stays until the new one has verified its models.
TEXT
}

if [ "$(id -u)" = 0 ]; then
    prefix=/opt/edge-fm
    bin=/usr/local/bin
else
    prefix=${XDG_DATA_HOME:-$HOME/.local/share}/edge-fm
    bin=$HOME/.local/bin
fi
python=''
service=''
while [ $# -gt 0 ]; do
    case $1 in
    --prefix)
        [ $# -ge 2 ] || die "--prefix needs a folder"
        [ -n "$2" ] || die "--prefix needs a folder"
        prefix=$2
        bin=$(readlink -m -- "$2")/bin
        shift 2
        ;;
    --python)
        [ $# -ge 2 ] || die "--python needs the path of a Python"
        python=$2
        shift 2
        ;;
    --service)
        [ $# -ge 2 ] || die "--service needs 'webcam' or 'watch'"
        service=$2
        shift 2
        break # the rest belongs to the service
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) die "'$1' is not known: sh install.sh --help" ;;
    esac
done
case $service in
'' | webcam) ;;
watch) [ $# -eq 2 ] || die "--service watch needs a folder and an output: --service watch /srv/in /var/lib/edge-fm/labels.csv" ;;
*) die "--service $service is not known: webcam or watch" ;;
esac
if [ -n "$service" ]; then
    [ "$(id -u)" = 0 ] || die "--service needs root: sudo sh install.sh --service $service ..."
    systemctl list-units >/dev/null 2>&1 || die "--service needs systemd, which does not run here"
fi
prefix=$(readlink -m -- "$prefix") # uninstall.sh compares it with real paths

# Every file of the bundle is present and unchanged.
cd "$here"
[ -f SHA256SUMS ] || die "SHA256SUMS is missing: copy the whole bundle again"
find . -type f ! -name SHA256SUMS | sed 's|^\./||' | while IFS= read -r file; do
    cut -c67- SHA256SUMS | grep -qxF -- "$file" || die "$file is not in SHA256SUMS, so it is not part of this bundle: copy the whole bundle again"
done
sha256sum -c --quiet SHA256SUMS >&2 || die "files are damaged or missing: copy the whole bundle again"

# The bundle fits this machine.
[ "$(uname -s)" = Linux ] || die "this bundle is for Linux, and this is $(uname -s)"
[ "$(uname -m)" = "$machine" ] || die "this bundle is for $machine, and this machine is $(uname -m): make one with 'edge-fm bundle --platform linux-$(uname -m)'"
if ldd --version 2>&1 | grep -qi musl; then
    die "this system's C library is musl, for which onnxruntime has no wheels: use one with glibc, such as Debian"
fi
is_right() { "$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; }
if [ -n "$python" ]; then
    is_right "$python" || die "$python is not Python $version: make a bundle for it with 'edge-fm bundle --python X.Y'"
else
    for found in "python$version" python3; do
        if command -v "$found" >/dev/null && is_right "$found"; then
            python=$(command -v "$found")
            break
        fi
    done
    [ -n "$python" ] || die "there is no Python $version here$(command -v python3 >/dev/null && printf ' (python3 is %s)' "$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"): install it, or make a bundle with 'edge-fm bundle --python X.Y'"
fi

# The target is an empty or new folder, or an edge-fm installation.
record=$prefix/.edge-fm-install
case $prefix in
/ | /bin | /boot | /etc | /home | /lib | /mnt | /opt | /root | /sbin | /srv | /tmp | /usr | /usr/local | /var | "${HOME:-/root}")
    die "$prefix belongs to the system or to you: give a folder of its own, such as --prefix $(echo "$prefix" | sed 's|/$||')/edge-fm" ;;
*[[:cntrl:]]*) die "--prefix has a control character: give another folder" ;;
esac
if [ -e "$prefix" ] && [ ! -d "$prefix" ]; then
    die "$prefix is a file: give a folder with --prefix"
fi
if [ ! -f "$record" ] && [ -L "$prefix/current" ] && [ -f "$prefix/current/.complete" ]; then
    die "$prefix has an older edge-fm without a list of its files: move your own files out, run 'sh $prefix/uninstall.sh', which removes the whole folder, and run this again. Or give another --prefix"
fi
if [ ! -f "$record" ] && ls -A "$prefix" 2>/dev/null | grep -qvxE 'kept-models|kept-files'; then
    die "$prefix holds files that are not of an edge-fm install: give an empty or new folder with --prefix"
fi
link=$bin/edge-fm
if [ -e "$link" ] || [ -L "$link" ]; then
    [ "$(readlink "$link" 2>/dev/null)" = "$prefix/current/bin/edge-fm" ] ||
        die "$link is there already and does not belong to $prefix: move it away, or give another --prefix"
fi
# A unit names its Python in its first line; those of earlier releases only in ExecStart.
is_our_unit() { grep -qF -e "# edge-fm service of $prefix/" -e "ExecStart=$prefix/" -e "ExecStart=\"$prefix/" "$1"; }
unit_file=/etc/systemd/system/edge-fm-$service.service
if [ -n "$service" ] && [ -e "$unit_file" ] && ! is_our_unit "$unit_file"; then
    die "$unit_file is there already and does not belong to $prefix: move it away"
fi
"$python" -c 'import venv' 2>/dev/null || die "$python has no module venv: install it (Debian: apt install python3-venv)"
above=$prefix
while [ ! -d "$above" ]; do above=$(dirname -- "$above"); done
free_kb=$(df -Pk "$above" | awk 'NR == 2 { print $4 }')
[ "$free_kb" -ge "$need_kb" ] || die "$prefix has $((free_kb / 1024)) MB free, and $((need_kb / 1024)) MB are needed"
{ mkdir -p "$prefix" && [ -w "$prefix" ]; } 2>/dev/null || die "$prefix cannot be written: give --prefix DIR, or run as root"

# Every entry is recorded before it is created, so that uninstall.sh removes these entries only.
remember() { grep -qxF -- "$1" "$record" 2>/dev/null || printf '%s\n' "$1" >>"$record"; }
: >>"$record"
remember "releases/$release"
mkdir -p "$prefix/releases"

new=$prefix/releases/$release
if [ ! -f "$new/.complete" ]; then
    if [ -e "$new" ]; then # left by an interrupted or failed installation
        [ "$(readlink "$prefix/current" 2>/dev/null)" != "releases/$release" ] || rm -f -- "$prefix/current"
        sh "$here/uninstall.sh" --release "$new"
    fi
    if [ -e "$new" ]; then # it holds files of a user, which must not be listed as ours below
        mkdir -p "$prefix/kept-files"
        mv -T --backup=numbered -- "$new" "$prefix/kept-files/$release"
        say "kept: $prefix/kept-files/$release"
    fi
    say "installing into $new"
    mkdir -p "$new"
    : >"$new/.incomplete"
    "$python" -m venv --without-pip "$new"
    (
        cd wheels
        pip=$(echo pip-*.whl)
        "$new/bin/python" "$pip/pip" --isolated --no-cache-dir --disable-pip-version-check -q install \
            --no-index --no-deps --no-compile --root-user-action ignore -r ../wheels.txt
    ) || die "the wheels cannot be installed: see above, and run this again"
    # The checks below compile the library modules that they import; compiling all would take 25 MB.
    "$new/bin/python" -m compileall -q "$new"/lib/python*/site-packages/edge_fm*
    cp -R models uninstall.sh "$new/"
    (cd "$new" && sha256sum models/*.onnx >.models && find . ! -type d | LC_ALL=C sort >.files)
    rm "$new/.incomplete"
fi

say "checking this machine"
# The next run replaces a release that fails.
"$new/bin/edge-fm" doctor || {
    rm -f "$new/.complete"
    die "a check of this machine failed: see above. This release is not put in use"
}
for model in models/*.onnx; do
    "$new/bin/edge-fm" verify "$new/$model" || {
        rm -f "$new/.complete"
        die "$(basename "$model") gives other results here than at export. This release is not put in use"
    }
done
: >"$new/.complete"

# Models that were added to the release in use, or replaced there, are used in the new one too.
if [ -f "$prefix/current/.models" ] && [ "$(readlink "$prefix/current")" != "releases/$release" ]; then
    for model in "$prefix"/current/models/*.onnx; do
        [ -f "$model" ] || continue
        sum=$(sha256sum <"$model" | cut -c1-64)
        ! grep -qF "$sum" "$prefix/current/.models" || continue
        if "$new/bin/edge-fm" inspect "$model" >/dev/null 2>&1; then
            cp -p -- "$model" "$new/.model.partial"
            mv -- "$new/.model.partial" "$new/models/${model##*/}"
            say "your model stays in use: models/${model##*/}"
        else
            say "your model cannot be read here, and is not used any more: models/${model##*/}"
        fi
    done
fi

# The new release is in use from here on; a link is replaced atomically.
for entry in current current.new uninstall.sh "$link"; do
    remember "$entry"
done
ln -sfn "releases/$release" "$prefix/current.new"
mv -T "$prefix/current.new" "$prefix/current"
mkdir -p "$bin"
ln -sfn "$prefix/current/bin/edge-fm" "$link"
ln -sfn "current/uninstall.sh" "$prefix/uninstall.sh"

unit() {
    name=edge-fm-$1
    shift
    remember "/etc/systemd/system/$name.service"
    # The unit names the link "current", not the release behind it, which the next upgrade removes.
    PWD=$prefix/current "$prefix/current/bin/python" -m edge_fm service "$@" >"/etc/systemd/system/$name.service.new" || {
        rm -f "/etc/systemd/system/$name.service.new"
        die "the unit cannot be created: see above"
    }
    mv "/etc/systemd/system/$name.service.new" "/etc/systemd/system/$name.service"
    systemctl daemon-reload
    systemctl enable "$name"
    systemctl restart "$name"
    say "service $name: systemctl status $name, journalctl -u $name"
}
cd "$prefix/current"
case $service in
webcam) unit webcam webcam "$@" ;;
watch) unit watch label "$1" --watch -o "$2" ;;
'')
    for name in webcam watch; do
        if [ -f "/etc/systemd/system/edge-fm-$name.service" ] && is_our_unit "/etc/systemd/system/edge-fm-$name.service"; then
            systemctl try-restart "edge-fm-$name" || say "restart it yourself: systemctl restart edge-fm-$name"
        fi
    done
    ;;
esac

grep '^releases/' "$record" | grep -vxF "releases/$release" | while IFS= read -r old; do
    [ ! -d "$prefix/$old" ] || sh "$here/uninstall.sh" --release "$prefix/$old"
done

say
say "edge-fm is installed in $prefix. Next:"
case ":$PATH:" in *":$bin:"*) command=edge-fm ;; *) command=$bin/edge-fm ;; esac
for model in "$prefix"/current/models/*.onnx; do
    say "  $command label FOLDER --model $model -o labels.csv"
done
say "  $command webcam 0 --view none"
say "  sh $prefix/uninstall.sh   uninstalls it"

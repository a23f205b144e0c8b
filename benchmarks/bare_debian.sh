#!/usr/bin/env bash
# README's two set-up lines on a bare Debian: benchmarks/bare_debian.sh [PYTEST_OPTIONS]
#
# Needs root; installs debootstrap where it is missing. Makes a Debian root in a temporary folder, with the
# mirror and the pip settings of this machine. In it, sees each refusal of setup.sh, installs nothing but python3
# and python3-pip, runs both lines of README.md as written, on the files of the last commit, and types the
# remedies of OpenCV's message. PYTEST_OPTIONS are "-m 'not slow'" unless given; "" runs every test. SUITE names
# another Debian than bookworm. The root is removed; the last line says whether all held.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${SUITE:-bookworm}
tests=${1--m "'not slow'"}
work=$(mktemp -d)
root=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT
failed=0

# What pip and TLS need here: settings become variables; files are copied, local indexes mounted read-only.
variables=() files=() folders=()
setting() { # NAME VALUE
    variables+=("$1=$2")
    local path
    for path in $2; do
        path=${path#file://}
        path=${path%/simple}
        if [ -f "$path" ]; then files+=("$path"); elif [ -d "$path" ]; then folders+=("$path"); fi
    done
}
while IFS='=' read -r name value; do
    value=${value#\'}
    value=${value%\'}
    name=${name##*.}
    name=${name//-/_}
    setting "PIP_${name^^}" "${value//\\n/ }"
done < <(python3 -m pip config list)
for name in {http,https,no}_proxy {HTTP,HTTPS,NO}_PROXY SSL_CERT_FILE REQUESTS_CA_BUNDLE; do
    if [ -n "${!name:-}" ]; then setting "$name" "${!name}"; fi
done

there() { # COMMAND: run it in the root; processes and mounts end with it
    local path mounts="mount -t proc proc '$root/proc' && mount -t tmpfs tmpfs '$root/dev/shm'"
    for path in "${files[@]}"; do install -D -m 644 "$path" "$root$path"; done
    for path in "${folders[@]}"; do
        mkdir -p "$root$path"
        mounts+=" && mount --bind -o ro '$path' '$root$path'"
    done
    unshare --mount --pid --fork --kill-child /bin/sh -c "$mounts && exec \"\$@\"" sh \
        env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "${variables[@]}" chroot "$root" /bin/sh -c "$1" </dev/null
}
held() { # WHAT COMMAND: shows what it prints, less pip's word on packages that a local index lacks
    local begun=$SECONDS
    echo "-- $2"
    if there "$2" 2>&1 | sed -u '/^WARNING: Location .* is ignored/d'; then echo "held: $1 (after $((SECONDS - begun)) s)"; else failed=1 && echo "FAILED: $1"; fi
}
refused() { # SAID COMMAND: fails, and says one line that has SAID
    local said
    echo "-- $2"
    if said=$(there "$2" 2>&1); then failed=1 && echo "FAILED: it was not refused"; fi
    echo "$said"
    if [ "$(wc -l <<<"$said")" != 1 ] || [[ $said != *"$1"* ]]; then failed=1 && echo "FAILED: expected one line with: $1"; fi
}
apt_get() { held "apt-get installs it" "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $* >/dev/null 2>&1"; }

mapfile -t lines < <(grep -E '^sh setup\.sh ' README.md)
[ "${#lines[@]}" = 2 ] || { echo "README.md has ${#lines[@]} lines of setup.sh, expected 2"; exit 1; }

echo "== a bare Debian $suite"
command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap >/dev/null; }
own=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' | awk -v own="$own" '$1 == own { print $2; exit }')
debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$work/debootstrap.log" || { tail -5 "$work/debootstrap.log"; exit 1; }
for name in train dev; do
    mkdir -p "$root/srv/$name"
    git archive HEAD | tar x -C "$root/srv/$name"
done
mkdir -p "$root/srv/fakes"/{3.10,3.14,old-pip}
for version in 3.10 3.14; do
    printf '#!/bin/sh\n[ "$1" = -V ] || exit 1\necho Python %s.0\n' "$version" >"$root/srv/fakes/$version/python3"
done
printf '#!/bin/sh\n[ "$*" = "-m pip --help" ] || exec /usr/bin/python3 "$@"\n' >"$root/srv/fakes/old-pip/python3"
chmod +x "$root"/srv/fakes/*/python3
there "apt-get update -qq"

echo "== refusals"
refused "there is no python3 here" "sh /srv/train/setup.sh train"
apt_get python3
refused "apt-get install python3-pip" "sh /srv/train/setup.sh train"
apt_get python3-pip
refused "apt-get install python3-venv" "cd /usr/lib/python3.[0-9]*/ && mv venv hidden; sh /srv/train/setup.sh train; code=\$?; mv hidden venv; exit \$code"
for version in 3.10 3.14; do
    refused "is Python $version.0, and edge-fm needs" "PATH=/srv/fakes/$version:\$PATH sh /srv/train/setup.sh train"
done
refused "python3 -m pip install --upgrade pip" "PATH=/srv/fakes/old-pip:\$PATH sh /srv/train/setup.sh train"

echo "== README's first line"
held "the line ends well" "cd /srv/train && ${lines[0]}"
held "OpenCV is headless" "python3 -m pip --python /srv/train/.venv list 2>&1 | grep -i opencv"

echo "== OpenCV's message, and its remedy without apt-get"
there "python3 -m pip -q --python /srv/train/.venv install -c /srv/train/constraints.txt opencv-python"
message=$(there "/srv/train/.venv/bin/edge-fm verify fashion" 2>&1) || true
echo "$message"
held "the remedy is right" "${message##*: run }"
held "edge-fm runs" "/srv/train/.venv/bin/edge-fm verify fashion"

echo "== README's second line"
held "the line ends well" "export PYTEST_ADDOPTS=\"$tests\"; cd /srv/dev && ${lines[1]}"

echo "== the remedy with apt-get: OpenCV with windows"
apt_get libgl1 libglib2.0-0
held "the first line ends well again" "cd /srv/train && ${lines[0]}"
held "windows are there" "/srv/train/.venv/bin/python -c 'import cv2; print(cv2.getBuildInformation())' | grep -E 'GUI|QT:'"

if [ "$failed" = 0 ]; then echo "all held"; else echo "some of it FAILED" && exit 1; fi

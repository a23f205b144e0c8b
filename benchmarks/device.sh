#!/usr/bin/env bash
# The aarch64 bundle in a bare Debian root of that machine, without a network: benchmarks/device.sh [WORK]
#
# Needs root, debootstrap, qemu-user-static and binfmt-support. Makes the root in WORK (kept, and used again),
# builds the bundle here, installs it there with the network unreachable, and compares every label and
# probability with this machine's: for int8 and float32, on every sample and on 1,000 test images. Ends with
# "all held", or with exit code 1.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-$(mktemp -d)}
root=$work/arm64root
python=${PYTHON:-python3}
mkdir -p "$work"
missed=0
# held TEXT COMMAND...: print TEXT if the command succeeds, else note that it does not.
held() {
    local text=$1
    shift
    if "$@"; then echo "$text"; else echo "missed: $text"; missed=1; fi
}

mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
update-binfmts --enable qemu-aarch64
if [ ! -x "$root/usr/bin/python3" ]; then
    echo "== a bare Debian root for arm64, with python3"
    debootstrap --arch=arm64 --variant=minbase --include=python3 --foreign bookworm "$root" >/dev/null
    cp "$(command -v qemu-aarch64-static)" "$root/usr/bin/"
    chroot "$root" /debootstrap/debootstrap --second-stage >/dev/null
fi

echo "== bundle"
rm -rf "$work/bundle" "$work/x86"
mkdir -p "$work/x86"
if [ ! -f "$work/fp32.onnx" ]; then
    "$python" -m edge_fm export samples/cnn.keras --labels "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot" \
        --scale unit -o "$work/fp32.onnx" >/dev/null 2>&1
fi
"$python" -m edge_fm bundle fashion fashion-nano digits "$work/fp32.onnx" -o "$work/bundle" | tail -2
du -sm "$work/bundle" | awk '{ print "bundle: " $1 " MiB" }'

echo "== install, with no network"
rm -rf "$root/srv/edge" "$root/opt/edge-fm"
mkdir -p "$root/srv/edge"
cp -R "$work/bundle" "$root/srv/edge/bundle"
cp -R samples "$root/srv/edge/samples"
"$python" benchmarks/device_images.py "$root/srv/edge/images"
cp -R "$root/srv/edge/images" "$work/x86/images"
cp -R samples "$work/x86/samples"
cp benchmarks/device_probe.py "$root/srv/edge/probe.py"
# A mount namespace of its own: /proc ends with the command. --net: there is not even a loopback that is up.
there() { unshare --net --mount /bin/sh -c "mount -t proc proc '$root/proc'; exec chroot '$root' /bin/sh -c 'cd /srv/edge && $*'"; }
there 'sh bundle/install.sh' >"$work/install.log" 2>&1 || { tail -20 "$work/install.log"; exit 1; }
grep -E "golden inputs are answered|installed in" "$work/install.log"
du -sm "$root/opt/edge-fm" | awk '{ print "installed: " $1 " MiB" }'

echo "== label, watch a video"
there 'edge-fm label samples/wardrobe -o labels.csv --model /opt/edge-fm/current/models/fashion.onnx --timeout 600' | tail -1
(cd "$work/x86" && "$python" -m edge_fm label samples/wardrobe -o labels.csv --model "$work/bundle/models/fashion.onnx" | tail -1)
held "label: the same labels" \
    [ "$(cut -d, -f1-3 "$root/srv/edge/labels.csv")" = "$(cut -d, -f1-3 "$work/x86/labels.csv")" ]
there 'edge-fm webcam samples/wardrobe.mp4 --view none --fast 2>/dev/null' >"$work/arm.txt"
(cd "$work/x86" && "$python" -m edge_fm webcam samples/wardrobe.mp4 --view none --fast 2>/dev/null) >"$work/x86.txt"
held "webcam: the same $(wc -l <"$work/arm.txt") changes of label at the same times" \
    [ "$(awk '{ print $1, $3 }' "$work/arm.txt")" = "$(awk '{ print $1, $3 }' "$work/x86.txt")" ]

echo "== compare, this machine's answers with those in the root"
models=(fashion fashion-nano digits fp32)
files=("${models[@]/#/$work/bundle/models/}")
files=("${files[@]/%/.onnx}")
there "/opt/edge-fm/current/bin/python probe.py answer answers.npz samples/wardrobe images --models $(printf "/opt/edge-fm/current/models/%s.onnx " "${models[@]}")" 2>/dev/null
(cd "$work/x86" && "$python" "$OLDPWD/benchmarks/device_probe.py" answer answers.npz samples/wardrobe images --models "${files[@]}")
held "compare: the same labels, and probabilities within the bounds" \
    "$python" benchmarks/device_probe.py compare "$root/srv/edge/answers.npz" "$work/x86/answers.npz"

echo "== uninstall"
there 'sh /opt/edge-fm/uninstall.sh'
held "nothing is left" [ ! -e "$root/opt/edge-fm" -a ! -L "$root/usr/local/bin/edge-fm" ]
[ "$missed" = 0 ] && echo "all held"

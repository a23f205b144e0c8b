#!/usr/bin/env bash
# Services under a real systemd: benchmarks/service.sh [WORK]
#
# Needs root, debootstrap and systemd-nspawn (Debian: systemd-container). Makes a Debian root in WORK (kept, and used again), boots it
# without a network, and in it: installs the bundle as services, prints their exposure, kills and freezes them, fills the disk under one,
# replaces a model, reads the page over TLS, and opens a camera's device from within its unit. The last line says whether all held.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-$(mktemp -d)}
root=$work/amd64root
python=${PYTHON:-python3}
mkdir -p "$work"

if [ ! -x "$root/lib/systemd/systemd" ]; then
    echo "== a Debian root with systemd and python3"
    debootstrap --variant=minbase --include=python3,systemd,systemd-sysv,dbus bookworm "$root" >/dev/null
fi

echo "== bundle"
rm -rf "$work/bundle-x86.tar.gz" "$root/srv/edge" "$root/opt/edge-fm" "$root/var/lib/private/edge-fm" "$root"/etc/systemd/system/edge-fm-* "$root/home/ann" "$root/srv/rows"
sed -i '/^edge-fm:/d' "$root"/etc/{passwd,shadow,group,gshadow}
"$python" -m edge_fm bundle fashion -o "$work/bundle-x86.tar.gz" --platform linux-x86_64 --with web | tail -1
mkdir -p "$root/srv/edge"
tar xzf "$work/bundle-x86.tar.gz" -C "$root/srv/edge"
cp -R samples "$root/srv/edge/samples"

cat >"$root/srv/edge/camera.py" <<'PY'
"""A camera on the loopback: the sample pictures as MJPEG over HTTP, ten a second, for ever."""
import http.server, itertools, pathlib, sys, time

sys.path.insert(0, next(str(p) for p in pathlib.Path("/opt/edge-fm/current/lib").glob("python*/site-packages")))
import cv2

frames = [cv2.imencode(".jpg", cv2.imread(str(p)))[1].tobytes() for p in sorted(pathlib.Path("/srv/edge/samples/wardrobe").glob("*.png"))]


class Camera(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in itertools.count():
            data = frames[number // 2 % len(frames)]
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data))
            time.sleep(0.1)


http.server.ThreadingHTTPServer(("127.0.0.1", 8090), Camera).serve_forever()
PY

cat >"$root/srv/edge/check.sh" <<'SH'
#!/bin/bash
# Runs in the booted root.
failed=0
inputs='/home/ann/100% "new"; $HOME'
log='/mnt/small/50%; events.jsonl'
rows=/var/lib/edge-fm/labels.csv
show() { systemctl show -p "$2" --value "edge-fm-$1"; }
count() { tail -n +2 "$rows" 2>/dev/null | wc -l; }
changes() { journalctl -q -b -o cat -u edge-fm-webcam --since "@$1" | grep -c '%$'; }
await() { # WHAT SECONDS COMMAND...
    local what=$1 left=$2 begun=$SECONDS
    shift 2
    until "$@" 2>/dev/null; do
        if [ "$((SECONDS - begun))" -ge "$left" ]; then
            echo "FAILED: $what (after $left s)"
            failed=1
            return
        fi
        sleep 0.5
    done
    echo "$what (after $((SECONDS - begun)) s)"
}
has() { [ "$(count)" -ge "$1" ]; }
is_anew() { [ "$(show "$1" MainPID)" != "$2" ] && [ "$(show "$1" MainPID)" != 0 ] && [ "$(show "$1" ActiveState)" = active ]; }
goes_on() { [ "$(changes "$1")" -ge 2 ]; }
tells_of_the_disk() { journalctl -q -b -o cat -u edge-fm-webcam | grep -q "cannot be written now"; }
is_told() { journalctl -q -b -o cat -u "edge-fm-$1" --since "@$2" | grep -q "$3"; }
exposure() { systemd-analyze security --no-pager "edge-fm-$1" | tail -1; }
is_confined() { exposure "$1" | awk '{ exit !($(NF - 2) <= 2.5) }'; }
fetched() { # URL: the body, from a page whose certificate nobody knows
    python3 -c 'import ssl, sys, urllib.request
asked = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer secret"})
print(urllib.request.urlopen(asked, context=ssl._create_unverified_context(), timeout=5).read().decode())' "$1"
}
shows() { fetched "$1" | grep -q "$2"; }
may_open() { grep -q "^Max open files *$1 " "/proc/$(show webcam MainPID)/limits"; }
is_filled() { [ -s "$1" ]; }
is_full() { [ "$(df --output=avail /mnt/small | tail -1)" -eq 0 ]; }

ip link set lo up 2>/dev/null || "$(command -v python3)" - <<'PY'
import fcntl, socket, struct
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(link, 0x8914, struct.pack("16sh14s", b"lo", 1, b""))  # SIOCSIFFLAGS, IFF_UP: netdevice(7)
PY
cd /srv/edge
echo "-- watch a folder"
install -d -m 700 /home/ann && install -d "$inputs" && ln -s "$inputs" /srv/edge/in
sh bundle*/install.sh --service watch "$inputs" "$rows" >install.log 2>&1 || { tail -5 install.log; exit 1; }
await "the service says that it is ready" 60 [ "$(show watch ActiveState)" = active ]
await "$(exposure watch)" 0 is_confined watch
await "every argument arrives as it was given" 0 grep -zqxF "$inputs" "/proc/$(show watch MainPID)/cmdline"
cp samples/wardrobe/*_1.png in/
await "ten pictures have their rows" 60 has 10
pid=$(show watch MainPID)
kill -9 "$pid"
await "killed, it is back" 60 is_anew watch "$pid"
cp samples/wardrobe/*_2.png in/
await "and labels what arrived" 60 has 20
pid=$(show watch MainPID)
kill -STOP "$pid"
await "frozen, the watchdog ends it and it is back" 90 is_anew watch "$pid"
cp samples/wardrobe/*_3.png in/
await "and labels what arrived" 60 has 30

echo "-- a feed, its log on a full disk"
mkdir -p /mnt/small && mount -t tmpfs -o size=256k,mode=1777 tmpfs /mnt/small
systemd-run -q --unit camera /opt/edge-fm/current/bin/python /srv/edge/camera.py
sh bundle*/install.sh --service webcam http://127.0.0.1:8090/ --view none --raw --model models/fashion.onnx --log "$log" >install2.log 2>&1 || { tail -5 install2.log; exit 1; }
begun=$(date +%s)
await "$(exposure webcam)" 0 is_confined webcam
await "labels are told" 60 goes_on "$begun"
await "and logged" 10 is_filled "$log"
cp /opt/edge-fm/current/lib/python*/site-packages/edge_fm_runtime/models/fashion-nano.onnx /opt/edge-fm/current/models/new
mv /opt/edge-fm/current/models/new /opt/edge-fm/current/models/fashion.onnx
await "a replaced model is in use" 30 is_told webcam "$begun" "new model is verified"
dd if=/dev/zero of=/mnt/small/filler bs=1k count=1000 2>/dev/null
await "the disk is full" 10 is_full
pid=$(show webcam MainPID)
await "the log says that it cannot be written" 120 tells_of_the_disk
journalctl -q -b -o cat -u edge-fm-webcam | grep -m1 "cannot be written now"
begun=$(date +%s)
await "labels are still told" 30 goes_on "$begun"
[ "$(show webcam MainPID)" = "$pid" ] && echo "by the same process" || { echo "FAILED: it was restarted"; failed=1; }
rm /mnt/small/filler
kill -9 "$pid"
await "killed, it is back" 60 is_anew webcam "$pid"
begun=$(date +%s)
await "and tells labels" 60 goes_on "$begun"

echo "-- a page for this machine, over TLS"
page() { sh bundle*/install.sh --service webcam /srv/edge/samples/wardrobe.mp4 --view web --port 8443 --token secret --log events.jsonl --record feed.mp4 "$@" >>install3.log 2>&1 || { tail -5 install3.log; journalctl -q -b -o cat -u edge-fm-webcam | tail -5; failed=1; }; }
page --tls self
await "$(exposure webcam)" 0 is_confined webcam
await "the page is there, its certificate self-signed" 30 shows https://127.0.0.1:8443/ "<html"
limit=$(ulimit -Hn) # of the machine, which may be lower than the unit's
if [ "$limit" = unlimited ] || [ "$limit" -gt 65536 ]; then limit=65536; fi
await "it may have $limit open files" 10 may_open "$limit"
await "events are logged beside the table" 30 is_filled /var/lib/edge-fm/events.jsonl
install -d /home/ann/tls && install -m 644 /var/lib/edge-fm/edge-fm/*.pem /home/ann/tls/
page --tls /home/ann/tls/cert.pem /home/ann/tls/key.pem
await "the page is there, its certificate a file in a home" 30 shows https://127.0.0.1:8443/ "<html"
cp samples/wardrobe/*_4.png "$inputs"
await "the feed is recorded" 10 is_filled /var/lib/edge-fm/feed.mp4
await "and the watched folder's table is still written" 60 has 40

echo "-- an output in a folder of a user edge-fm"
systemctl stop edge-fm-watch edge-fm-webcam
useradd --system edge-fm
install -d -o edge-fm /srv/rows
rows=/srv/rows/labels.csv
sh bundle*/install.sh --service watch "$inputs" "$rows" >install4.log 2>&1 || { tail -5 install4.log; failed=1; }
await "forty pictures have their rows" 60 has 40

echo "-- a camera"
# No driver is behind this device, so that opening it tells what stands in between: nothing, if the error is "No such device or address".
mknod -m 660 /dev/video0 c 81 0 && chgrp video /dev/video0
for source in /dev/video0 /srv/edge/samples/wardrobe.mp4; do
    (cd /opt/edge-fm/current && bin/python -m edge_fm service webcam "$source") >/etc/systemd/system/edge-fm-camera.service
    mkdir -p /etc/systemd/system/edge-fm-camera.service.d
    cat >/etc/systemd/system/edge-fm-camera.service.d/probe.conf <<'UNIT'
[Service]
Type=oneshot
Restart=no
ExecStart=
ExecStart=/usr/bin/python3 -c 'open("/dev/video0", "r+b")'
UNIT
    # The pattern char-video4linux matches nothing where the kernel lacks the driver.
    grep -q video4linux /proc/devices || sed -i 's/char-video4linux/char-81/' /etc/systemd/system/edge-fm-camera.service
    systemctl daemon-reload
    begun=$(date +%s)
    systemctl start edge-fm-camera 2>/dev/null
    case $source in /dev/*) expected="No such device or address" ;; *) expected="No such file or directory" ;; esac
    await "webcam $source, opening /dev/video0: $expected" 10 is_told camera "$begun" "$expected"
    await "$(exposure camera)" 0 is_confined camera
done
rm -r /etc/systemd/system/edge-fm-camera.service*
systemctl reset-failed edge-fm-camera
systemctl daemon-reload

echo "-- uninstall"
sh /opt/edge-fm/uninstall.sh >/dev/null
systemctl list-units --all --plain --no-legend 'edge-fm-*' | grep . && failed=1
left=$(find /opt/edge-fm /etc/systemd/system/edge-fm-* -type f 2>/dev/null | grep -v "^/opt/edge-fm/kept-models/.*/fashion.onnx$")
[ -z "$left" ] && echo "nothing is left but the model that replaced another" || { echo "FAILED: left: $left"; failed=1; }
[ "$failed" = 0 ] && echo "all held" || echo "something did not hold: see above"
SH

cat >"$root/etc/systemd/system/check.service" <<'UNIT'
[Unit]
Description=The check of benchmarks/service.sh
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /srv/edge/check.sh
StandardOutput=file:/srv/edge/check.log
ExecStopPost=/bin/systemctl --no-block poweroff
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../check.service "$root/etc/systemd/system/multi-user.target.wants/check.service"

echo "== boot"
# Rules on devices and addresses need control groups of version 2, and programs that the kernel runs for them.
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn -q -D "$root" --boot --private-network --register=no --keep-unit \
    --capability=all --system-call-filter=bpf >"$work/boot.log" 2>&1 || { tail -5 "$work/boot.log"; exit 1; }
cat "$root/srv/edge/check.log"
tail -1 "$root/srv/edge/check.log" | grep -q "^all held"

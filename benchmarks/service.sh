#!/usr/bin/env bash
# Services under a real systemd: benchmarks/service.sh [WORK]
#
# Needs root, debootstrap and systemd-nspawn (Debian: systemd-container). Makes a Debian root in WORK (kept, and used again), boots it
# without a network, and in it: installs the bundle as services, kills and freezes them, and fills the disk under one. The last line says
# whether all held.
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
rm -rf "$work/bundle-x86.tar.gz" "$root/srv/edge" "$root/opt/edge-fm" "$root/var/lib/private/edge-fm" "$root"/etc/systemd/system/edge-fm-*
"$python" -m edge_fm bundle fashion -o "$work/bundle-x86.tar.gz" --platform linux-x86_64 --with web | tail -1
mkdir -p "$root/srv/edge/in"
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
rows=/var/lib/edge-fm/labels.csv
show() { systemctl show -p "$2" --value "edge-fm-$1"; }
count() { tail -n +2 "$rows" 2>/dev/null | wc -l; }
changes() { journalctl -q -o cat -u edge-fm-webcam --since "@$1" | grep -c '%$'; }
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
tells_of_the_disk() { journalctl -q -o cat -u edge-fm-webcam | grep -q "cannot be written now"; }
is_full() { [ "$(df --output=avail /mnt/small | tail -1)" -eq 0 ]; }

ip link set lo up 2>/dev/null || "$(command -v python3)" - <<'PY'
import fcntl, socket, struct
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(link, 0x8914, struct.pack("16sh14s", b"lo", 1, b""))  # SIOCSIFFLAGS, IFF_UP: netdevice(7)
PY
cd /srv/edge
echo "-- watch a folder"
sh bundle*/install.sh --service watch /srv/edge/in "$rows" >install.log 2>&1 || { tail -5 install.log; exit 1; }
await "the service says that it is ready" 60 [ "$(show watch ActiveState)" = active ]
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
sh bundle*/install.sh --service webcam http://127.0.0.1:8090/ --view none --raw --log /mnt/small/events.jsonl >install2.log 2>&1 || { tail -5 install2.log; exit 1; }
begun=$(date +%s)
await "labels are told" 60 goes_on "$begun"
dd if=/dev/zero of=/mnt/small/filler bs=1k count=1000 2>/dev/null
await "the disk is full" 10 is_full
pid=$(show webcam MainPID)
await "the log says that it cannot be written" 120 tells_of_the_disk
journalctl -q -o cat -u edge-fm-webcam | grep -m1 "cannot be written now"
begun=$(date +%s)
await "labels are still told" 30 goes_on "$begun"
[ "$(show webcam MainPID)" = "$pid" ] && echo "by the same process" || { echo "FAILED: it was restarted"; failed=1; }
rm /mnt/small/filler
kill -9 "$pid"
await "killed, it is back" 60 is_anew webcam "$pid"
begun=$(date +%s)
await "and tells labels" 60 goes_on "$begun"

echo "-- uninstall"
sh /opt/edge-fm/uninstall.sh >/dev/null
systemctl list-units --all --plain --no-legend 'edge-fm-*' | grep . && failed=1
[ ! -e /opt/edge-fm ] && [ -z "$(ls /etc/systemd/system/edge-fm-* 2>/dev/null)" ] && echo "nothing is left" || failed=1
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
StandardError=file:/srv/edge/check.log
ExecStopPost=/bin/systemctl --no-block poweroff
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../check.service "$root/etc/systemd/system/multi-user.target.wants/check.service"

echo "== boot"
systemd-nspawn -q -D "$root" --boot --private-network --register=no --keep-unit >"$work/boot.log" 2>&1 || { tail -5 "$work/boot.log"; exit 1; }
cat "$root/srv/edge/check.log"
tail -1 "$root/srv/edge/check.log" | grep -q "^all held"

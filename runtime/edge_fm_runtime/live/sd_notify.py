"""Notify systemd: ready once, then a watchdog ping from the loop itself.

The protocol is sd_notify(3): lines in a datagram to the socket that $NOTIFY_SOCKET names. A loop that hangs,
in a driver or a decoder, sends no more, and systemd starts it anew.
"""

import os
import socket
import time

from edge_fm_runtime.live.loop import FrameResult


class SdNotifier:
    """Pings systemd's watchdog from the loop; does nothing without one."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        watchdog_us = os.environ.get("WATCHDOG_USEC", "")
        self._every_s = int(watchdog_us) / 2e6 if watchdog_us.isdecimal() else 10.0
        self._next_s = 0.0
        self._ready = False

    def show(self, reading: FrameResult) -> bool:
        """Ping the watchdog, with the label as status, when due."""
        self._alive(f"{reading.prediction.label} {reading.prediction.confidence:.0%}")
        return True

    def wait(self, notice: str) -> bool:
        """Ping the watchdog: a loop that waits for its camera does not hang."""
        self._alive(notice or "waiting for a frame")
        return True

    def close(self) -> None:
        """Notify systemd that the service is stopping."""
        self._send("STOPPING=1")

    def _alive(self, status: str) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._every_s
        ready = "" if self._ready else "READY=1\n"
        # One line: a file's name or a label must not add messages of its own.
        self._send(f"{ready}WATCHDOG=1\nSTATUS={' '.join(status.split())}")
        self._ready = True

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(address)
                sender.send(message.encode())
        except OSError:
            pass  # systemd is gone or restarting: the feed goes on

"""Traffic of the chaos run: a server that records what comes from denied pods, clients that hold
many connections, and probes of pods that are denied. Each prints one JSON object a line; times are
Unix milliseconds."""

import errno
import json
import selectors
import socket
import struct
import sys
import time

SO_TIMESTAMPNS = 35
ETH_P_ALL = 3
MARKER = b"pilus-chaos-denied"
# seconds
SAY_EACH = 1
SEND_EACH = 2
FRESH_EACH = 0.5
FRESH_TIMEOUT = 2
RECONNECT_AFTER = 0.2
PROBE_EACH = 0.04
SYN_EACH = 0.25
SYN_TIMEOUT = 0.4
# how long a connection that was let in tries to go on
DENIED_STAYS = 5


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def now_ms():
    return time.time() * 1000


def plain(ip):
    return ip.removeprefix("::ffff:")


def name_of(error):
    return errno.errorcode.get(error.errno, str(error))


def both_families(kind, port):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    s.setblocking(False)
    return s


def source_of(packet):
    if packet[:1] and packet[0] >> 4 == 4:
        return socket.inet_ntoa(packet[12:16]), packet[9]
    if packet[:1] and packet[0] >> 4 == 6:
        return socket.inet_ntop(socket.AF_INET6, packet[8:24]), packet[6]
    return None, 0


def serve(port, *denied):
    """Echoes TCP and takes datagrams; says each frame and each byte of `denied` addresses."""
    selector = selectors.DefaultSelector()
    listener = both_families(socket.SOCK_STREAM, int(port))
    listener.listen(1024)
    sink = both_families(socket.SOCK_DGRAM, int(port))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    wire.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    wire.setblocking(False)

    def accept():
        s, (host, *_) = listener.accept()
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ, lambda: echo(s, plain(host)))

    def echo(s, host):
        try:
            data = s.recv(1 << 16)
            if data:
                s.send(data)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and host in denied:
            say({"passed": host, "t": now_ms(), "what": "TCP data", "bytes": len(data)})
        if not data:
            selector.unregister(s)
            s.close()

    def look():
        for _ in range(256):
            try:
                packet, ancillary, _, (_, _, kind, *_) = wire.recvmsg(2048, 64)
            except BlockingIOError:
                return
            if kind == socket.PACKET_OUTGOING:
                continue
            host, protocol = source_of(packet)
            if host not in denied and MARKER not in packet:
                continue
            seconds, ns = struct.unpack("qq", ancillary[0][2])
            what = f"protocol {protocol}"
            say({"passed": host, "t": seconds * 1000 + ns / 1e6, "what": what, "bytes": len(packet)})

    selector.register(listener, selectors.EVENT_READ, accept)
    selector.register(sink, selectors.EVENT_READ, lambda: sink.recv(2048))
    selector.register(wire, selectors.EVENT_READ, look)
    say({"ready": True})
    while True:
        for key, _ in selector.select():
            key.data()


class Held:
    """A connection that lives on, with at most one message on its way."""

    def __init__(self, target, port, start):
        self.target, self.port = target, port
        self.socket, self.due, self.sent, self.waits = None, start, 0, None

    def open(self):
        self.socket = dial(self.target, self.port)
        self.waits = time.monotonic()

    def tick(self, now):
        if self.socket is None:
            if now >= self.due:
                self.open()
            return
        try:
            if not self.is_open():
                if now - self.waits > FRESH_TIMEOUT:
                    self.cut("timeout", now)
                return
            if self.waits is not None:
                self.read(now)
            elif now >= self.due:
                self.sent += 1
                self.socket.send(b"%08d" % self.sent)
                self.waits = now
        except OSError as error:
            self.cut(name_of(error), now)

    def is_open(self):
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "")
        if self.sent:
            return True
        try:
            self.socket.getpeername()
        except OSError:
            return False
        self.sent, self.waits = 1, time.monotonic()
        self.socket.send(b"%08d" % 1)
        return True

    def read(self, now):
        try:
            data = self.socket.recv(64)
        except BlockingIOError:
            return
        if data != b"%08d" % self.sent:
            self.cut("end" if not data else "wrong bytes", now)
            return
        self.waits, self.due = None, now + SEND_EACH

    def cut(self, why, now):
        # a connection that was never there is made again and again
        if self.sent:
            say({"cut": self.target, "t": now_ms(), "why": why})
        self.socket.close()
        self.socket, self.sent, self.waits, self.due = None, 0, None, now + RECONNECT_AFTER


class Fresh:
    """A new connection with one echo, over and over."""

    def __init__(self, target, port, start):
        self.target, self.port, self.due, self.socket = target, port, start, None

    def tick(self, now):
        if self.socket is None:
            if now >= self.due:
                self.began, self.began_ms, self.asked = now, now_ms(), False
                self.socket = dial(self.target, self.port)
            return
        try:
            if not self.asked:
                self.asked = self.ask()
            elif self.socket.recv(64):
                return self.end(now, True, "")
        except BlockingIOError:
            pass
        except OSError as error:
            return self.end(now, False, name_of(error))
        if now - self.began > FRESH_TIMEOUT:
            self.end(now, False, "timeout")

    def ask(self):
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "")
        try:
            self.socket.getpeername()
        except OSError:
            return False
        return self.socket.send(b"fresh") > 0

    def end(self, now, ok, why):
        say({"fresh": self.target, "t": self.began_ms, "ok": ok, "why": why})
        self.socket.close()
        self.socket, self.due = None, now + FRESH_EACH


def dial(target, port):
    s = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET)
    s.setblocking(False)
    # an address or a way that is missing for a moment is found by the next tick
    s.connect_ex((target, port))
    return s


def hold(port, count, *targets):
    """`count` connections to each target that stay, and new ones now and then."""
    begin = time.monotonic()
    held = [
        Held(target, int(port), begin + SEND_EACH * i / int(count))
        for target in targets
        for i in range(int(count))
    ]
    fresh = [Fresh(target, int(port), begin + i * 0.05) for i, target in enumerate(targets)]
    said = begin
    say({"ready": True})
    while True:
        now = time.monotonic()
        for one in held + fresh:
            one.tick(now)
        if now - said >= SAY_EACH:
            said = now
            waits = [now - one.waits for one in held if one.waits is not None]
            sent = [one for one in held if one.sent]
            say({"open": len(sent), "silent": round(max(waits, default=0), 1), "t": now_ms()})
        time.sleep(0.03)


class Denied:
    """Tries to reach a target by TCP and goes on as long as it is let."""

    def __init__(self, target, port, start):
        self.target, self.port, self.due, self.socket = target, port, start, None

    def tick(self, now):
        if self.socket is None:
            if now >= self.due:
                self.began, self.due, self.socket = now, now + SYN_EACH, dial(self.target, self.port)
            return
        try:
            self.socket.send(MARKER)
            limit = DENIED_STAYS
        except BlockingIOError:
            limit = DENIED_STAYS
        except OSError:
            limit = SYN_TIMEOUT
        if now - self.began > limit:
            self.socket.close()
            self.socket = None


def probe(port, *targets):
    """Datagrams and connections to targets that are denied."""
    begin = time.monotonic()
    sockets = {
        family: socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)
    }
    connections = [Denied(target, int(port), begin) for target in targets]
    sent, unsent, said = 0, 0, begin
    say({"ready": True})
    while True:
        now = time.monotonic()
        for target in targets:
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            try:
                sockets[family].sendto(MARKER, (target, int(port)))
                sent += 1
            except OSError:
                unsent += 1
        for one in connections:
            one.tick(now)
        if now - said >= SAY_EACH:
            said = now
            say({"sent": sent, "unsent": unsent, "t": now_ms()})
            sent = unsent = 0
        time.sleep(PROBE_EACH)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

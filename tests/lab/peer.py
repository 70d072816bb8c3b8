"""Peers of the end-to-end tests: one server with everything, and clients that say what they saw as JSON.

serve NAME             HTTP on 8080; TCP and UDP echo on 7000; both families
tcp HOST PORT          one echo; says the peer's name as the socket has it
udp HOST PORT SIZE     one datagram and its echo; port unreachable is ECONNREFUSED
twice HOST HOST PORT   echoes of both from one port of each protocol, all open at once; says whose failed
flood HOST PORT PORTS   a datagram from each of so many ports
spray KIND SOURCE HOST PORT COUNT   packets from 65,536 ports to PORT, then to the next: syn, and what no stack answers:
                        udp, fragment (the first of a datagram)
parts HOST PORT ORDERS  datagrams as fragments in each order
keep HOST PORT          one TCP connection, silent but for an echo of each line of stdin, which it says
sniff DEVICE SECONDS   says what is special about the headers of arriving packets: tunnels and options
hold HOST PORT SECONDS a line each 50 ms over one TCP connection; a JSON line for each echo
chat HOST PORT SECONDS  a datagram each 50 ms from one connected socket, whether or not an echo comes; counts echoes
stream HOST PORT SECONDS   2 MB/s over one TCP connection, the echo compared
"""

import errno
import hashlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time


def listen(kind, port):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        s.listen(64)
    return s


def accept(listener, handle):
    def guarded(connection, peer):
        with connection:
            try:
                handle(connection, peer)
            except OSError:
                pass

    def loop():
        while True:
            threading.Thread(target=guarded, args=listener.accept(), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def echo(connection, _peer):
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def plain(address):
    return address.removeprefix("::ffff:")


def serve(name):
    def http(connection, peer):
        reader = connection.makefile("rb")
        while line := reader.readline():
            _method, path, _ = line.decode().split()
            length = 0
            while (header := reader.readline().decode().strip()) != "":
                key, _, value = header.partition(":")
                if key.lower() == "content-length":
                    length = int(value)
                if key.lower() == "expect":
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = reader.read(length)
            if path.startswith("/bytes/"):
                answer = bytes(i % 251 for i in range(int(path[7:])))
            elif path == "/sum":
                answer = hashlib.sha256(body).hexdigest().encode()
            elif path == "/peer":
                answer = plain(peer[0]).encode()
            else:
                answer = name.encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(answer)}\r\n\r\n"
            connection.sendall(head.encode() + answer)

    accept(listen(socket.SOCK_STREAM, 8080), http)
    accept(listen(socket.SOCK_STREAM, 7000), echo)
    datagrams = listen(socket.SOCK_DGRAM, 7000)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    say({"ready": name})
    while True:
        data, to, _, peer = datagrams.recvmsg(1 << 16, 256)
        if data == b"name":
            data = name.encode()
        if data == b"peer":
            data = plain(peer[0]).encode()
        # a node has many addresses: answer from the one that was asked, over any device
        level, kind, info = to[0]
        datagrams.sendmsg([data], [(level, kind, info[:16] + bytes(4))], 0, peer)


def say(value):
    print(json.dumps(value), flush=True)


def open_tcp(host, port, timeout):
    return socket.create_connection((host, int(port)), timeout=timeout)


def tcp(host, port):
    begin = time.monotonic()
    result = {}
    try:
        with open_tcp(host, port, 1) as s:
            result["peer"] = "%s:%d" % s.getpeername()[:2]
            result["local"] = s.getsockname()[0]
            s.sendall(b"hello")
            result["ok"] = s.recv(5) == b"hello"
    except OSError as error:
        result["error"] = name_of(error)
    result["ms"] = round((time.monotonic() - begin) * 1000)
    say(result)


def udp(host, port, size):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    data = os.urandom(int(size)) if size.isdigit() else size.encode()
    begin = time.monotonic()
    result = {}
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        try:
            s.connect((host, int(port)))
            s.send(data)
            answer = s.recv(1 << 16)
            result["ok"] = answer == data
            result["peer"] = "%s:%d" % s.getpeername()[:2]
            if not size.isdigit():
                result["answer"] = answer.decode()
        except OSError as error:
            result["error"] = name_of(error)
    result["ms"] = round((time.monotonic() - begin) * 1000)
    say(result)


def sizes(host, port, size, discovery):
    """Three datagrams of one socket with IP_MTU_DISCOVER, and which of them came back."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    answered = []
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        if family == socket.AF_INET:
            s.setsockopt(socket.IPPROTO_IP, 10, int(discovery))
        for _ in range(3):
            data = os.urandom(int(size))
            try:
                s.sendto(data, (host, int(port)))
                answered.append(s.recv(1 << 16) == data)
            except OSError:
                answered.append(False)
    say({"answered": answered})


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def parts(host, port, orders):
    """For each [order, size], three datagrams as IP fragments of `size` bytes in that order, and which came back."""
    v6 = ":" in host
    family = socket.AF_INET6 if v6 else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_DGRAM) as probe,
        socket.socket(family, socket.SOCK_DGRAM) as s,
        socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
    ):
        s.settimeout(1)
        probe.connect((host, int(port)))
        # not connected: a service's address would be its backend's then
        s.bind((probe.getsockname()[0], 0))
        own = s.getsockname()
        ends = socket.inet_pton(family, own[0]) + socket.inet_pton(family, host)

        def answers(order, size):
            data = os.urandom(size * len(order) - 8)
            udp = struct.pack("!HHHH", own[1], int(port), 8 + len(data), 0)
            pseudo = ends + struct.pack("!LL", 8 + len(data), 17)
            udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp + data) or 0xFFFF) + data
            number = int.from_bytes(os.urandom(2)) | 1
            for i in order:
                part, more = udp[i * size : (i + 1) * size], i + 1 < len(order)
                if v6:
                    header = struct.pack("!LHBB", 6 << 28, 8 + len(part), 44, 64) + ends
                    header += struct.pack("!BBHL", 17, 0, i * size | more, number)
                else:
                    where = more << 13 | i * size // 8
                    fields = (0x45, 0, 20 + len(part), number, where, 64, 17)
                    header = struct.pack("!BBHHHBBH", *fields, 0) + ends
                    header = struct.pack("!BBHHHBBH", *fields, checksum(header)) + ends
                raw.sendto(header + part, (host, 0))
            try:
                return s.recv(1 << 16) == data
            except OSError:
                return False

        say({"orders": [[answers(*one) for _ in range(3)] for one in json.loads(orders)]})


def segments(host, port, size):
    """Three times ten datagrams in one call (UDP_SEGMENT), and how many of each ten came back."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    came = []
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.setsockopt(socket.IPPROTO_UDP, 103, int(size))
        s.connect((host, int(port)))
        for turn in range(3):
            data = [bytes([turn, i]) * (int(size) // 2) for i in range(10)]
            count = 0
            try:
                s.send(b"".join(data))
                while count < len(data):
                    count += s.recv(1 << 16) in data
            except OSError as error:
                if not isinstance(error, TimeoutError):
                    count = name_of(error)
            came.append(count)
    say({"came": came})


def bound(host, port, own):
    """A datagram from port `own`, and its echo."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    begin = time.monotonic()
    result = {}
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        try:
            s.bind(("::" if ":" in host else "0.0.0.0", int(own)))
            s.connect((host, int(port)))
            s.send(b"hello")
            result["ok"] = s.recv(16) == b"hello"
        except OSError as error:
            result["error"] = name_of(error)
    result["ms"] = round((time.monotonic() - begin) * 1000)
    say(result)


def twice(one, other, port):
    begin = time.monotonic()
    failed = []

    def open_from(kind, host, own):
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        s.settimeout(2)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("", own))
        s.connect((host, int(port)))
        return s

    opened = []
    for protocol, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
        own = 0
        for host in (one, other):
            try:
                s = open_from(kind, host, own)
                own = s.getsockname()[1]
                opened.append((protocol, host, s))
            except OSError as error:
                failed.append([protocol, host, name_of(error)])
    for turn in range(3):
        for protocol, host, s in opened:
            s.send(f"{turn} {protocol} {host}".encode())
        for protocol, host, s in opened:
            try:
                if s.recv(1 << 16).decode() != f"{turn} {protocol} {host}":
                    failed.append([protocol, host, "another's echo"])
            except OSError as error:
                failed.append([protocol, host, name_of(error)])
    say({"failed": failed, "ms": round((time.monotonic() - begin) * 1000)})


def flood(host, port, ports):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(int(ports)):
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.sendto(b"x", (host, int(port)))


def spray(kind, source, host, port, count):
    """IPv4. The checksum of datagrams is wrong, so that the receiver's stack drops them."""
    protocol = socket.IPPROTO_TCP if kind == "syn" else socket.IPPROTO_UDP
    more = 0x2000 if kind == "fragment" else 0
    ends = socket.inet_aton(source) + socket.inet_aton(host)
    fixed = sum(struct.unpack("!4H", ends)) + protocol + 20 + 0x5002 + 0xFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        for number in range(int(count)):
            low, high = number & 0xFFFF, int(port) + (number >> 16)
            if kind == "syn":
                checksum = fixed + low + high
                checksum = (checksum & 0xFFFF) + (checksum >> 16)
                checksum = ~((checksum & 0xFFFF) + (checksum >> 16)) & 0xFFFF
                l4 = struct.pack("!HHIIHHHH", low, high, 0, 0, 0x5002, 0xFFFF, checksum, 0)
            else:
                l4 = struct.pack("!HHHH8x", low, high, 16, 1)
            ip = struct.pack("!HHHHBBH8s", 0x4500, 0, number % 65535 + 1, more, 64, protocol, 0, ends)
            s.sendto(ip + l4, (host, 0))


def keep(host, port):
    with open_tcp(host, port, 5) as s:
        s.settimeout(5)
        say({"ok": True})
        for line in sys.stdin:
            s.sendall(line.encode())
            say({"answer": s.recv(100).decode().strip()})


def name_of(error):
    return "timeout" if isinstance(error, TimeoutError) else errno.errorcode.get(error.errno, str(error))


def sniff(device, seconds):
    """One JSON object: how many packets of each kind came."""
    seen = {}
    end = time.monotonic() + float(seconds)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)) as s:
        s.bind((device, 0))
        s.settimeout(0.1)
        say({"ready": device})
        while time.monotonic() < end:
            try:
                data, (_, _, kind, *_) = s.recvfrom(2048)
            except TimeoutError:
                continue
            if kind == socket.PACKET_OUTGOING:
                continue
            what = header_of(data[14:])
            if what:
                seen[what] = seen.get(what, 0) + 1
    say(seen)


def header_of(ip):
    if not ip:
        return None
    if ip[0] >> 4 == 4:
        source, destination = socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20])
        tunnel, option = ip[9] == 4, ip[0] & 15 == 7 and ip[20] == 0x9A
    elif ip[0] >> 4 == 6:
        source = socket.inet_ntop(socket.AF_INET6, ip[8:24])
        destination = socket.inet_ntop(socket.AF_INET6, ip[24:40])
        tunnel, option = ip[6] == 41, ip[6] == 60 and ip[42] == 0x1B
    else:
        return None
    if not tunnel and not option:
        return None
    return f"{'tunnel' if tunnel else 'option'} {source} {destination}"


def hold(host, port, seconds):
    end = time.monotonic() + float(seconds)
    with open_tcp(host, port, 2) as s:
        sent = 0
        due = time.monotonic()
        while time.monotonic() < end:
            if time.monotonic() >= due:
                s.send(b"%07d\n" % sent)
                sent += 1
                due += 0.05
            readable, _, _ = select.select([s], [], [], 0.01)
            if readable:
                data = s.recv(1 << 16)
                if not data:
                    raise SystemExit("the connection ended")
                for line in data.split():
                    say({"echo": int(line)})


def chat(host, port, seconds):
    """Ends after so many seconds, or when it is told to."""
    end = time.monotonic() + float(seconds)
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    echoes = 0
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((host, int(port)))
        s.settimeout(0.05)
        while time.monotonic() < end and not told.is_set():
            s.send(b"hello")
            try:
                s.recv(100)
                echoes += 1
                time.sleep(0.05)
            except TimeoutError:
                pass
    say({"echoes": echoes})


def stream(host, port, seconds):
    """Bytes are compared as they come back; a reset or a difference ends it with an error."""
    end = time.monotonic() + float(seconds)
    chunk = bytes(range(256)) * 80
    total = 0
    with open_tcp(host, port, 10) as s:
        # a client that waits for an answer has nothing to send that could be refused
        s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        while time.monotonic() < end:
            s.sendall(chunk)
            got = b""
            while len(got) < len(chunk):
                part = s.recv(1 << 16)
                if not part:
                    raise SystemExit(f"the connection ended after {total} bytes")
                got += part
            if got != chunk:
                raise SystemExit(f"wrong bytes after {total}")
            total += len(chunk)
            time.sleep(0.01)
    say({"ok": True, "bytes": total})


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

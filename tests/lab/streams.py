"""TCP conversations whose every byte is checked: streams.py COMMAND ARGUMENTS, answers as JSON.

serve PORT                  answers conversations; their first line is a JSON object, see conversation()
talk HOST PORT JSON         has one conversation and says what became of it
many HOST PORT COUNT        so many connections, each with a word and its echo
stream HOST PORT            numbers, a line each, until a line comes on standard input; says the last
mix HOST PORT SECONDS SEED  conversations of random kinds, some at a time
plan HOST PORT COUNT SEED   so many of them, the same for the same seed, resets among them
"""

import hashlib
import json
import os
import random
import select
import socket
import struct
import sys
import tempfile
import threading
import time

CHUNK = 1 << 16


def data(seed, length):
    """Pseudo-random bytes in pieces of random sizes."""
    source = random.Random(seed)
    left = length
    while left > 0:
        size = min(left, source.choice((1, 7, 100, 1448, 4096, 65536, 1 << 20)))
        yield source.randbytes(size)
        left -= size


def digest(seed, length):
    total = hashlib.sha256()
    for piece in data(seed, length):
        total.update(piece)
    return total.hexdigest()


def write(connection, seed, length, how):
    if how == "sendfile":
        with tempfile.TemporaryFile() as file:
            for piece in data(seed, length):
                file.write(piece)
            file.seek(0)
            connection.sendfile(file)
    elif how == "large":
        connection.sendall(b"".join(data(seed, length)))
    else:
        for piece in data(seed, length):
            connection.sendall(piece)


def try_to_write(connection, seed, length):
    try:
        write(connection, seed, length, "")
    except OSError:
        pass  # the reader says what is missing


def read(connection, length, peek=False, slow=0):
    """Reads `length` bytes, or to the end with -1; returns their count and SHA-256."""
    total, count = hashlib.sha256(), 0
    if slow:
        time.sleep(slow)
    while length < 0 or count < length:
        room = CHUNK if length < 0 else min(CHUNK, length - count)
        if peek:
            seen = connection.recv(room, socket.MSG_PEEK)
        piece = connection.recv(room)
        if not piece:
            break
        if peek and not (piece.startswith(seen) or seen.startswith(piece)):
            raise ValueError("peeked at other bytes than were read")
        total.update(piece)
        count += len(piece)
    return count, total.hexdigest()


def line(connection):
    text = b""
    while not text.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            raise EOFError("no line")
        text += byte
    return json.loads(text)


def conversation(connection):
    """{up: {seed, length, ...}, down: {seed, length, ...}, reset: true}: up is read, down is sent."""
    wish = line(connection)
    if wish.get("echo"):
        while True:
            piece = connection.recv(CHUNK)
            if not piece:
                return
            connection.sendall(piece)
    if wish.get("numbers"):
        numbers(connection)
        return
    up, down = wish.get("up"), wish.get("down")
    if wish.get("reset"):
        read(connection, wish["reset"])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return
    answer = {}
    sender = None
    if down and wish.get("both"):
        sender = threading.Thread(target=try_to_write, args=(connection, down["seed"], down["length"]))
        sender.start()
    if up:
        count, total = read(connection, up["length"] if not wish.get("half") else -1,
                            wish.get("peek", False), wish.get("slow", 0))
        answer = {"count": count, "sha256": total}
    if sender:
        sender.join()
    elif down:
        write(connection, down["seed"], down["length"], wish.get("how", ""))
    connection.sendall(json.dumps(answer).encode() + b"\n")


def numbers(connection):
    """Tells on standard output of the last number when none has come for a while, and of gaps."""
    expected, rest, told = 0, b"", -1
    connection.settimeout(0.3)
    while True:
        try:
            piece = connection.recv(CHUNK)
        except TimeoutError:
            if told != expected - 1:
                told = expected - 1
                print(json.dumps({"last": told}), flush=True)
            continue
        if not piece:
            break
        rest += piece
        *lines, rest = rest.split(b"\n")
        for text in lines:
            if int(text) != expected:
                print(json.dumps({"gap": [expected, int(text)]}), flush=True)
                return
            expected += 1
    print(json.dumps({"end": expected - 1}), flush=True)


def serve(port):
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", int(port)))
    listener.listen(1024)
    print("ready", flush=True)

    def one(connection):
        with connection:
            try:
                conversation(connection)
            except (OSError, EOFError):
                pass

    while True:
        connection, _ = listener.accept()
        connection.settimeout(60)  # with that the socket is a non-blocking one; see probe in sockmap.ts
        threading.Thread(target=one, args=(connection,), daemon=True).start()


def talk_to(host, port, wish):
    up, down = wish.get("up"), wish.get("down")
    result = {"ok": True}
    with socket.create_connection((host, int(port)), timeout=wish.get("timeout", 20)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(json.dumps(wish).encode() + b"\n")
        if wish.get("reset"):
            try:
                write(s, 1, 1 << 30, "")
            except OSError as error:
                return {"ok": True, "error": type(error).__name__}
            return {"ok": False, "error": "no reset"}
        if wish.get("full"):
            return fill(s, wish)
        if up:
            write(s, up["seed"], up["length"], wish.get("how", ""))
            if wish.get("half"):
                s.shutdown(socket.SHUT_WR)
        if down:
            count, total = read(s, down["length"], wish.get("peek", False))
            if total != digest(down["seed"], down["length"]):
                result = {"ok": False, "error": "other bytes came", "count": count}
        answer = line(s)
        if up and answer.get("sha256") != digest(up["seed"], up["length"]):
            result = {"ok": False, "error": "other bytes arrived", "answer": answer}
    return result


def fill(s, wish):
    """Sends for as long as there is room and nobody reads; then all of it must arrive."""
    up, held = wish["up"], 0
    pieces = data(up["seed"], up["length"])
    s.setblocking(False)
    end = time.monotonic() + wish["slow"] / 2
    rest = b""
    while time.monotonic() < end:
        if not rest:
            rest = next(pieces)
        try:
            n = s.send(rest)
            held += n
            rest = rest[n:]
        except BlockingIOError:
            select.select([], [s], [], 0.05)
    s.settimeout(20)
    s.sendall(rest)
    for piece in pieces:
        s.sendall(piece)
    answer = line(s)
    same = answer.get("sha256") == digest(up["seed"], up["length"])
    return {"ok": same, "held": held}


def say(value):
    print(json.dumps(value), flush=True)


def talk(host, port, wish):
    try:
        say(talk_to(host, port, json.loads(wish)))
    except (OSError, EOFError, ValueError) as error:
        say({"ok": False, "error": repr(error)})


def many(host, port, count):
    good = 0
    for i in range(int(count)):
        with socket.create_connection((host, int(port)), timeout=5) as s:
            s.sendall(b'{"echo": 1}\nword%d' % i)
            word = b"word%d" % i
            got = b""
            while len(got) < len(word):
                got += s.recv(64)
            good += got == word
    say({"ok": good == int(count), "good": good})


def stream(host, port):
    with socket.create_connection((host, int(port)), timeout=5) as s:
        s.sendall(b'{"numbers": 1}\n')
        s.settimeout(None)
        print("ready", flush=True)
        number, asked = 0, threading.Event()

        def ask():
            for _ in sys.stdin:
                asked.set()
            os._exit(0)

        threading.Thread(target=ask, daemon=True).start()
        while True:
            # before the write: what is told was sent before, what follows was not
            if asked.is_set():
                asked.clear()
                say({"next": number})
            s.sendall(b"%d\n" % number)
            number += 1
            time.sleep(0.0005)


WORKERS = 4


def random_wish(own):
    wish = {"timeout": 30}
    if own.random() < 0.8:
        wish["up"] = {"seed": own.getrandbits(31), "length": int(10 ** own.uniform(0, 6.7))}
    if own.random() < 0.8 or "up" not in wish:
        wish["down"] = {"seed": own.getrandbits(31), "length": int(10 ** own.uniform(0, 6.7))}
    wish["how"] = own.choice(("", "large", "sendfile"))
    wish["half"] = own.random() < 0.3
    wish["peek"] = own.random() < 0.2
    wish["both"] = own.random() < 0.3
    if own.random() < 0.2:
        wish["slow"] = own.uniform(0, 0.3)
    return wish


def attempt(host, port, wish):
    try:
        return talk_to(host, port, wish)
    except (OSError, EOFError, ValueError) as error:
        return {"ok": False, "error": repr(error)}


def in_threads(work):
    workers = [threading.Thread(target=work, args=(i,)) for i in range(WORKERS)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()


def mix(host, port, seconds, seed):
    end = time.monotonic() + float(seconds)
    results = []

    def work(index):
        own = random.Random(int(seed) * WORKERS + index)
        while time.monotonic() < end:
            wish = random_wish(own)
            results.append((wish, attempt(host, port, wish)))

    in_threads(work)
    say(summary(results))


def plan(host, port, count, seed):
    source = random.Random(int(seed))
    wishes = []
    for _ in range(int(count)):
        if source.random() < 0.1:
            wishes.append({"timeout": 30, "reset": int(10 ** source.uniform(1, 6))})
        else:
            wishes.append(random_wish(source))
    results = []

    def work(index):
        for wish in wishes[index::WORKERS]:
            results.append((wish, attempt(host, port, wish)))

    in_threads(work)
    say(summary(results))


def summary(results):
    failures = [{"wish": wish, "result": result} for wish, result in results if not result["ok"]]
    length = sum(wish[way]["length"] for wish, _ in results for way in ("up", "down") if way in wish)
    return {"ok": not failures, "conversations": len(results), "bytes": length,
            "failures": failures[:3]}


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

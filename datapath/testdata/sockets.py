"""Socket calls by order: a JSON list [socket, call, arguments...] a line, and what came of it as JSON.

Calls are those of Python's sockets; a new name makes a socket: ["a", "socket", "inet6", "stream"].
"""

import errno
import json
import socket
import sys

KINDS = {"inet": socket.AF_INET, "inet6": socket.AF_INET6, "stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM}
sockets = {}


def do(name, call, *words):
    if call == "socket":
        sockets[name] = socket.socket(*(KINDS[word] for word in words))
        sockets[name].settimeout(2)
        sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return None
    s = sockets[name]
    if call == "accept":
        sockets[words[0]], peer = s.accept()
        return peer[:2]
    if call == "send":
        return s.send(words[0].encode())
    if call == "sendto":
        return s.sendto(words[0].encode(), tuple(words[1:]))
    if call == "recv":
        return s.recv(100).decode()
    if call == "recvfrom":
        data, peer = s.recvfrom(100)
        return [data.decode(), *peer[:2]]
    if call == "connect" or call == "bind":
        return getattr(s, call)(tuple(words))
    if call == "getpeername":
        return s.getpeername()[:2]
    return getattr(s, call)(*words)


for line in sys.stdin:
    try:
        answer = {"value": do(*json.loads(line))}
    except TimeoutError:
        answer = {"error": "timeout"}
    except OSError as error:
        answer = {"error": errno.errorcode.get(error.errno, str(error))}
    print(json.dumps(answer), flush=True)

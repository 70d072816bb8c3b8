"""Sends frames by one device and says how those that come by another are spaced: SENDER RECEIVER COUNT FRAME (hex)."""

import json
import socket
import sys
import time

sender, receiver, count, frame = sys.argv[1], sys.argv[2], int(sys.argv[3]), bytes.fromhex(sys.argv[4])
ETH_P_ALL = socket.htons(3)
with (
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ETH_P_ALL) as out,
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ETH_P_ALL) as into,
):
    out.bind((sender, 0))
    into.bind((receiver, 0))
    into.settimeout(5)
    begin = time.monotonic()
    for _ in range(count):
        out.send(frame)
    times = []
    while len(times) < count:
        data, (_, _, kind, *_) = into.recvfrom(2048)
        if kind != socket.PACKET_OUTGOING and data[-16:] == frame[-16:]:
            times.append(time.monotonic())
print(json.dumps({"came": times[-1] - begin}))

"""Runs programs at the same time and tells how long each took.

On stdin: JSON, {"calls": [{"program", "env", "input"}]}. On stdout: JSON, milliseconds from each program's
start to its end. What a program that failed has said goes to stderr, and the exit code is 1.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

calls = json.load(sys.stdin)["calls"]
running = {}
for number, call in enumerate(calls):
    # files: nobody has to read and write while the others start
    given, output = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    given.write(call["input"].encode())
    given.seek(0)
    start = time.monotonic()
    process = subprocess.Popen(
        [call["program"]], env=call["env"], stdin=given, stdout=output, stderr=output
    )
    running[process.pid] = (number, start, output, process)

took = [0.0] * len(calls)
failed = False
while running:
    pid, status = os.wait()
    number, start, output, _ = running.pop(pid)
    took[number] = (time.monotonic() - start) * 1000
    if status != 0:
        failed = True
        output.seek(0)
        print(calls[number]["program"], f"status {status:#x}", output.read().decode(), file=sys.stderr)
print(json.dumps(took))
sys.exit(1 if failed else 0)

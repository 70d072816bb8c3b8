"""extract_vmlinux.py BZIMAGE OUT: the ELF inside a bzImage, so that no decompressor is emulated."""
import struct
import subprocess
import sys

image = open(sys.argv[1], "rb").read()
# the boot protocol's header (Documentation/arch/x86/boot.rst): setup_sects, payload_offset, payload_length
start = ((image[0x1F1] or 4) + 1) * 512
offset, length = struct.unpack_from("<II", image, 0x248)
payload = image[start + offset : start + offset + length - 4]
if payload[:4] == b"\x28\xb5\x2f\xfd":
    command = ["zstd", "-dqc"]
elif payload[:6] == b"\xfd7zXZ\0":
    command = ["xz", "-dqc"]
else:
    sys.exit(f"unknown compression: {payload[:6].hex()}")
vmlinux = subprocess.run(command, input=payload, stdout=subprocess.PIPE, check=False).stdout
if vmlinux[:4] != b"\x7fELF":
    sys.exit("the payload is no ELF file")
open(sys.argv[2], "wb").write(vmlinux)

#!/bin/bash
# make_initrd.sh KERNEL_DIR OUT: static busybox and the modules that reach the host's root over 9p.
set -euo pipefail
HERE=$(dirname "$(realpath "$0")")
KERNEL=$(realpath "$1")
OUT=$(realpath -m "$2")
VERSION=$(ls "$KERNEL/lib/modules")
TREE=$(mktemp -d)
trap 'rm -rf "$TREE"' EXIT

mkdir -p "$TREE"/{bin,modules,proc,sys,dev,lower,rw,new}
cp -L "$(command -v busybox)" "$TREE/bin/busybox"
number=10
for module in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
	modprobe -d "$KERNEL" -S "$VERSION" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
	number=$((number + 1))
	name=$(basename "$file" .xz)
	# busybox's insmod cannot read .xz
	case $file in
	*.xz) xz -dc "$file" ;;
	*) cat "$file" ;;
	esac >"$TREE/modules/$number-$name"
done
cp "$HERE/init" "$HERE/stage2" "$TREE/"
chmod +x "$TREE/init" "$TREE/stage2"
(cd "$TREE" && find . | cpio -o -H newc --quiet | gzip -1) >"$OUT.new"
truncate -s %4 "$OUT.new" # run.sh appends a second archive
mv "$OUT.new" "$OUT"

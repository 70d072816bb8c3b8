#!/bin/bash
# setup.sh SERIES: fetches Debian's kernel 6.12 or 6.1 and prepares it for run.sh, once.
set -euo pipefail
HERE=$(dirname "$(realpath "$0")")
WORK=${BUILD_CACHE:-$HOME/.cache/pilus}/kernel_vm
SERIES=$1
[ -e "$WORK/initrd-$SERIES.gz" ] && exit 0

wanted=()
for pair in qemu-system-x86_64:qemu-system-x86 depmod:kmod cpio:cpio zstd:zstd xz:xz-utils \
	busybox:busybox-static python3:python3; do
	command -v "${pair%%:*}" >/dev/null || wanted+=("${pair##*:}")
done
if [ ${#wanted[@]} -gt 0 ]; then
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
fi

case $SERIES in
6.12) meta=linux-image-6.12-amd64 ;;
6.1) meta=linux-image-amd64 ;;
*)
	echo "kernel_vm: unknown series $SERIES; there are 6.12 and 6.1" >&2
	exit 2
	;;
esac
package=$(apt-cache depends "$meta" | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -1)
[ -n "$package" ] || {
	echo "kernel_vm: no package for $SERIES; run apt-get update" >&2
	exit 1
}

mkdir -p "$WORK/deb" "$WORK/kernel-$SERIES"
cd "$WORK"
ls deb/"${package}"_*.deb >/dev/null 2>&1 || (cd deb && apt-get download -qq "$package" >&2 2>/dev/null)
dpkg -x deb/"${package}"_*.deb "kernel-$SERIES"
depmod -b "kernel-$SERIES" "$(ls "kernel-$SERIES/lib/modules")"
python3 "$HERE/extract_vmlinux.py" "kernel-$SERIES"/boot/vmlinuz-* "vmlinux-$SERIES"
"$HERE/make_initrd.sh" "kernel-$SERIES" "initrd-$SERIES.gz"

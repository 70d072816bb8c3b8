#!/bin/bash
# run.sh SERIES COMMAND [ARGUMENT...]: runs the command under Debian's kernel 6.12 or 6.1 in QEMU's
# software emulation, with this machine's root file system below an overlay in memory. /tmp and /run
# are fresh; what is written vanishes; output and exit status come back. 125: the guest gave no
# status. VM_TIMEOUT, seconds [600]; VM_ENV, names of variables to pass; VM_MEMORY [3G].
set -uo pipefail
HERE=$(dirname "$(realpath "$0")")
WORK=${BUILD_CACHE:-$HOME/.cache/pilus}/kernel_vm
SERIES=$1
shift
"$HERE/setup.sh" "$SERIES" || exit 125
RUN=$(mktemp -d)
trap 'rm -rf "$RUN"' EXIT

{
	CMD=("$@")
	DIR=$PWD
	declare -p CMD DIR
	echo VM_STDIN=0
	for name in ${VM_ENV:-}; do printf 'export %s=%q\n' "$name" "${!name}"; done
} >"$RUN/cmd"
: >"$RUN/rc"
mkfifo "$RUN/out" "$RUN/err"
cat <"$RUN/out" &
out=$!
cat <"$RUN/err" >&2 &
err=$!
{
	cat "$WORK/initrd-$SERIES.gz"
	(cd "$RUN" && echo cmd | cpio -o -H newc --quiet)
} >"$RUN/initrd"

port() { echo "-chardev $2,id=$1${3:+,path=$3} -device virtserialport,chardev=$1,name=$1"; }
append="console=ttyS0 quiet panic=-1 nokaslr mitigations=off audit=0 lsm=capability,landlock,bpf"
append+=" init_on_alloc=0 random.trust_cpu=on tsc=reliable kernel_vm.dir=$WORK/kernel-$SERIES"
# shellcheck disable=SC2046
timeout "${VM_TIMEOUT:-600}" qemu-system-x86_64 -name kernel_vm -accel tcg,thread=multi -M q35 \
	-cpu max,la57=off -smp 2 -m "${VM_MEMORY:-3G}" -nodefaults -no-user-config -display none \
	-no-reboot -monitor none -kernel "$WORK/vmlinux-$SERIES" -initrd "$RUN/initrd" -append "$append" \
	-serial "file:$RUN/console" \
	-fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap \
	-device virtio-9p-pci,fsdev=root,mount_tag=hostroot \
	-device virtio-serial-pci,max_ports=8 \
	$(port in null) $(port out file "$RUN/out") $(port err file "$RUN/err") $(port rc file "$RUN/rc")
status=$?
# frees the readers when qemu never opened the pipes
exec 8<>"$RUN/out" 9<>"$RUN/err"
exec 8>&- 9>&-
wait $out $err
result=$(tr -d '\n' <"$RUN/rc")
[ -n "$result" ] && exit "$result"
echo "kernel_vm: the guest gave no exit status (qemu: $status); the end of its console:" >&2
tail -n 15 "$RUN/console" >&2
exit 125

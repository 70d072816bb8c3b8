#!/bin/bash
# Run by lab.sh in the namespaces of a node: makes of them what kubelet and containerd take for a
# machine of their own, and starts these.
set -euo pipefail
. "$(dirname "$0")/../env.sh"

NODE=$1 ADDRESS=$2
BIN=$BUILD_CACHE/kubernetes/bin
LAB=${KUBERNETES_LAB:-/run/pilus-kubernetes}
HOME_DIR=$LAB/$NODE
V2=/sys/fs/cgroup
[ -e $V2/cgroup.controllers ] || V2=/sys/fs/cgroup/unified

hostname "$NODE"

# the node's own cgroups; programs for its sockets belong to the one of version 2
mkdir -p "$V2/$NODE"
echo $$ >"$V2/$NODE/cgroup.procs"
for controller in cpu cpuacct cpuset memory devices freezer blkio pids systemd; do
	directory=/sys/fs/cgroup/$controller
	if [ ! -d "$directory" ] || [ "$V2" = /sys/fs/cgroup ]; then continue; fi
	mkdir -p "$directory/$NODE"
	[ "$controller" != cpuset ] || for file in cpuset.cpus cpuset.mems; do
		cat "$directory/$file" >"$directory/$NODE/$file"
	done
done

# the usual paths, each node's own
for directory in /var/lib/kubelet /var/lib/containerd /var/lib/cni /var/log/pods /var/log/containers \
	/run/containerd /run/netns /etc/cni /opt/cni; do
	mkdir -p "$directory" "$HOME_DIR$directory"
	mount --bind "$HOME_DIR$directory" "$directory"
done
# sysfs of this network namespace, with the cgroups that are mounted in the old one
mkdir -p "$HOME_DIR/cgroup"
mount --rbind /sys/fs/cgroup "$HOME_DIR/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$HOME_DIR/cgroup" /sys/fs/cgroup
umount -l "$HOME_DIR/cgroup"
# the kubelet sets what is the whole machine's: it gets files in place of that
mkdir -p "$HOME_DIR/sysctl"
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
	kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
	cat "/proc/sys/$name" >"$HOME_DIR/sysctl/${name//\//_}"
	mount --bind "$HOME_DIR/sysctl/${name//\//_}" "/proc/sys/$name"
done
mount --make-rshared /
mkdir -p /opt/cni/bin /etc/cni/net.d
# containerd runs it beside whatever network plugin there is
cp /usr/lib/cni/loopback /opt/cni/bin/

cat >"$HOME_DIR/containerd.toml" <<END
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "pilus.test/busybox:1"
disable_apparmor = true
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
END
cat >"$HOME_DIR/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $ADDRESS
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$NODE
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 10Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $LAB/pki/ca.crt}}
authorization: {mode: Webhook}
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
nodeStatusUpdateFrequency: 5s
END

containerd -c "$HOME_DIR/containerd.toml" >"$LAB/log/$NODE-containerd" 2>&1 </dev/null &
echo $! >"$LAB/pid/$NODE-containerd"
for _ in $(seq 100); do
	ctr version >/dev/null 2>&1 && break
	sleep 0.1
done
ctr -n k8s.io images import "$BUILD_CACHE/kubernetes/busybox.tar"
"$BIN/kubelet" --config="$HOME_DIR/kubelet.yaml" --kubeconfig="$LAB/$NODE.kubeconfig" \
	--hostname-override="$NODE" --node-ip="$ADDRESS" --root-dir=/var/lib/kubelet \
	>"$LAB/log/$NODE-kubelet" 2>&1 </dev/null &
echo $! >"$LAB/pid/$NODE-kubelet"

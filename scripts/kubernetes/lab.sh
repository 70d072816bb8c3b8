#!/bin/bash
# Real nodes of Kubernetes on one machine, as root: etcd and the control plane in a network namespace
# with a bridge, and nodes as network and mount namespaces beside it, each with containerd, runc and
# kubelet. No kube-proxy and no network plugin: those are for what is tested.
#   lab.sh up NODE…     starts all; nodes are at 192.0.2.11, .12, … and the API server at 192.0.2.1:6443
#   lab.sh in NODE CMD  runs CMD in a node, or for `cp` beside the control plane
#   lab.sh start|stop PROGRAM, lab.sh ready   of the control plane: etcd, kube-apiserver, …
#   lab.sh down         ends what `up` has started, and removes what it has made
set -euo pipefail
. "$(dirname "$0")/../env.sh"

BIN=$BUILD_CACHE/kubernetes/bin
LAB=${KUBERNETES_LAB:-/run/pilus-kubernetes}
CONTROL_PLANE=pilus-cp
ADDRESS=192.0.2.1
PREFIX=192.0.2

PKI=$LAB/pki

# --- processes: each with a file of its number; only those are ended

spawn() { # name command...
	local name=$1
	shift
	setsid "$@" >"$LAB/log/$name" 2>&1 </dev/null &
	echo $! >"$LAB/pid/$name"
}

is_alive() { # pid
	[ -e "/proc/$1" ] && ! grep -q '^State:.*[ZX]' "/proc/$1/status" 2>/dev/null
}

stop_program() { # name
	local pid turn
	pid=$(cat "$LAB/pid/$1" 2>/dev/null) || return 0
	kill "$pid" 2>/dev/null || true
	for turn in $(seq 100); do
		is_alive "$pid" || break
		[ "$turn" != 60 ] || kill -KILL "$pid" 2>/dev/null || true
		sleep 0.05
	done
	rm -f "$LAB/pid/$1"
}

# --- the control plane

certificate() { # name subject [names]
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$2" \
		-keyout "$PKI/$1.key" -out "$PKI/$1.csr" 2>/dev/null
	openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 365 \
		-out "$PKI/$1.crt" -extfile <(
			echo "extendedKeyUsage=serverAuth,clientAuth"
			[ -z "${3:-}" ] || echo "subjectAltName=$3"
		) 2>/dev/null
	cat >"$LAB/$1.kubeconfig" <<-END
		apiVersion: v1
		kind: Config
		current-context: lab
		contexts: [{name: lab, context: {cluster: lab, user: $1}}]
		clusters: [{name: lab, cluster: {server: "https://$ADDRESS:6443", certificate-authority: $PKI/ca.crt}}]
		users: [{name: $1, user: {client-certificate: $PKI/$1.crt, client-key: $PKI/$1.key}}]
	END
}

make_certificates() { # node...
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=lab -days 365 \
		-keyout "$PKI/ca.key" -out "$PKI/ca.crt" 2>/dev/null
	openssl genrsa -out "$PKI/accounts.key" 2048 2>/dev/null
	certificate kube-apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:$ADDRESS,IP:10.96.0.1,DNS:kubernetes.default.svc"
	certificate admin /O=system:masters/CN=admin
	certificate kube-controller-manager /CN=system:kube-controller-manager
	certificate kube-scheduler /CN=system:kube-scheduler
	local node
	for node; do certificate "$node" "/O=system:nodes/CN=system:node:$node"; done
}

start_program() { # name
	local flags=()
	case $1 in
	etcd)
		flags=(--data-dir "$LAB/etcd" --unsafe-no-fsync --log-level warn
			--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379)
		;;
	kube-apiserver)
		flags=(--etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443
			--advertise-address="$ADDRESS" --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true
			--tls-cert-file="$PKI/kube-apiserver.crt" --tls-private-key-file="$PKI/kube-apiserver.key"
			--client-ca-file="$PKI/ca.crt" "--authorization-mode=Node,RBAC"
			--service-account-issuer=https://kubernetes.default.svc
			--service-account-key-file="$PKI/accounts.key"
			--service-account-signing-key-file="$PKI/accounts.key"
			--kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key"
			--kubelet-preferred-address-types=InternalIP)
		;;
	kube-controller-manager)
		flags=(--service-account-private-key-file="$PKI/accounts.key" --root-ca-file="$PKI/ca.crt"
			--use-service-account-credentials=true --allocate-node-cidrs=true --cluster-cidr=10.244.0.0/16
			--service-cluster-ip-range=10.96.0.0/16)
		;;&
	kube-controller-manager | kube-scheduler)
		flags+=(--kubeconfig="$LAB/$1.kubeconfig" --authentication-kubeconfig="$LAB/$1.kubeconfig"
			--authorization-kubeconfig="$LAB/$1.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false
			--kube-api-qps=300 --kube-api-burst=600)
		;;
	esac
	spawn "$1" nsenter --net="/run/netns/$CONTROL_PLANE" "$BIN/$1" "${flags[@]}"
}

kubectl() {
	nsenter --net="/run/netns/$CONTROL_PLANE" "$BIN/kubectl" --kubeconfig "$LAB/admin.kubeconfig" "$@"
}

await() { # what command...
	local what=$1
	shift
	for _ in $(seq 600); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	echo "$what did not come in 60 s; see $LAB/log" >&2
	exit 1
}

# --- nodes

start_node() { # name address
	ip netns add "$1"
	ip link add eth0 netns "$1" type veth peer name "$1" netns "$CONTROL_PLANE"
	ip -n "$CONTROL_PLANE" link set "$1" master br0 up
	ip -n "$1" link set lo up
	ip -n "$1" addr add "$2/24" dev eth0
	ip -n "$1" link set eth0 up
	ip -n "$1" route add default via "$ADDRESS"
	spawn "$1" nsenter --net="/run/netns/$1" unshare --mount --uts --propagation private \
		"$ROOT/scripts/kubernetes/node.sh" "$1" "$2"
}

run_in() { # node command...
	local node=$1
	shift
	if [ "$node" = cp ]; then exec nsenter --net="/run/netns/$CONTROL_PLANE" "$@"; fi
	exec nsenter --mount --net --uts -t "$(cat "$LAB/pid/$node-containerd")" -- "$@"
}

up() { # node...
	mkdir -p "$LAB"/{log,pid,pki}
	make_certificates "$@"
	ip netns add "$CONTROL_PLANE"
	ip -n "$CONTROL_PLANE" link set lo up
	ip -n "$CONTROL_PLANE" link add br0 type bridge
	ip -n "$CONTROL_PLANE" addr add "$ADDRESS/24" dev br0
	ip -n "$CONTROL_PLANE" link set br0 up
	start_program etcd
	start_program kube-apiserver
	local node last=10
	for node; do start_node "$node" "$PREFIX.$((last += 1))"; done
	await "the API server" kubectl get --raw /readyz
	start_program kube-controller-manager
	start_program kube-scheduler
	await "the default service account" kubectl get serviceaccount default
	for node; do await "Node $node" kubectl get node "$node" -o 'jsonpath={.spec.podCIDR}'; done
}

# What runs in a node's mount namespace: containerd's shims, and the containers they have started.
stop_containers() { # pid of containerd
	local namespace process
	namespace=$(readlink "/proc/$1/ns/mnt") || return 0
	for process in /proc/[0-9]*; do
		[ "$(cat "$process/comm" 2>/dev/null)" = containerd-shim ] || continue
		[ "$(readlink "$process/ns/mnt" 2>/dev/null)" = "$namespace" ] || continue
		# shellcheck disable=SC2046
		kill -KILL $(cat "$process/task/${process#/proc/}/children") "${process#/proc/}" 2>/dev/null || true
	done
}

down() {
	[ -d "$LAB/pid" ] || return 0
	local file node nodes=()
	for file in "$LAB"/pid/*-kubelet; do
		[ -e "$file" ] || continue
		node=$(basename "${file%-kubelet}")
		nodes+=("$node")
		stop_program "$node-kubelet"
		stop_containers "$(cat "$LAB/pid/$node-containerd")"
		stop_program "$node-containerd"
		stop_program "$node"
	done
	for file in kube-scheduler kube-controller-manager kube-apiserver etcd; do stop_program "$file"; done
	for node in "$CONTROL_PLANE" ${nodes[@]+"${nodes[@]}"}; do
		ip netns del "$node" 2>/dev/null || true
		for file in /sys/fs/cgroup/"$node" /sys/fs/cgroup/*/"$node"; do
			[ ! -d "$file" ] || find "$file" -depth -type d -exec rmdir {} + 2>/dev/null || true
		done
	done
	rm -rf --one-file-system "$LAB"
}

case ${1:-} in
up) up "${@:2}" ;;
in) run_in "${@:2}" ;;
start) start_program "$2" ;;
stop) stop_program "$2" ;;
ready) await "the API server" kubectl get --raw /readyz ;;
down) down ;;
*)
	sed -n '2,10s/^# \?//p' "$0" >&2
	exit 2
	;;
esac

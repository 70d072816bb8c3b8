#!/bin/bash
# What pilus does with a real Kubernetes and a real etcd, as root: builds what is missing (8 minutes once),
# then runs the tests of the source, the stores, the operator, and of two nodes without kube-proxy and
# without another network plugin.
#   scripts/test_kubernetes.sh [short]   short: without the nodes
set -euo pipefail
. "$(dirname "$0")/env.sh"

tests=(kubernetes_source kubernetes_store etcd_store operator install)
if [ "${1:-}" = short ]; then
	"$ROOT/scripts/kubernetes/build.sh"
else
	"$ROOT/scripts/kubernetes/build.sh" lab
	"$ROOT/scripts/build.sh"
	tests+=(kubernetes_lab)
fi
cd "$ROOT"
tests=("${tests[@]/#/tests/}")
exec deno test --frozen -A --no-check "${tests[@]/%/_test.ts}"

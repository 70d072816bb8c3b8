/** A large cluster as manifests, and as what its other nodes publish. */

import { batchText } from "../../../agent/cluster/files/published.ts";
import type { LabNode } from "../../../cli/lab/lab.ts";

export const SERVICES = 10_000;
export const BACKENDS = 10;

/** Endpoints of a published file. */
const BATCH = 64;

/** Addresses of pods of other nodes. */
export const REMOTE = 50_000;

/** Resources as the text of a file. */
export const manifests = (documents: unknown[]) =>
  documents.map((document) => JSON.stringify(document)).join("\n---\n");

const octets = (first: string, n: number) => `${first}.${n >> 8 & 255}.${n & 255}`;

/** In one file: all of them would be more than a file may have. */
export const SERVICES_A_FILE = 500;

export function services(first: number): string {
  return manifests(
    Array.from({ length: SERVICES_A_FILE }, (_, k) => first + k).map((i) => [
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: `s${i}`, namespace: "bench" },
        spec: { clusterIP: octets("10.96", i), ports: [{ port: 80, targetPort: 8080 }] },
      },
      {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: {
          name: `s${i}-0`,
          namespace: "bench",
          labels: { "kubernetes.io/service-name": `s${i}` },
        },
        addressType: "IPv4",
        ports: [{ name: "", port: 8080, protocol: "TCP" }],
        endpoints: Array.from({ length: BACKENDS }, (_, k) => {
          const n = i * BACKENDS + k;
          return {
            addresses: [octets(`10.${128 + (n >> 16)}`, n)],
            conditions: { ready: true, serving: true, terminating: false },
            nodeName: `node-${n % 100}`,
            targetRef: { kind: "Pod", namespace: "bench", name: `s${i}-${k}` },
          };
        }),
      },
    ]).flat(),
  );
}

/** Nodes that have published endpoints. */
const REMOTE_NODES = 100;

function remoteNodes(): string {
  return manifests(Array.from({ length: REMOTE_NODES }, (_, k) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: `remote-${k}` },
    spec: { podCIDR: `10.${200 + (k >> 6)}.${(k & 63) << 2}.0/22` },
    status: { addresses: [{ type: "InternalIP", address: octets("192.168", 1000 + k) }] },
  })));
}

/** As the other nodes do, some in each file. */
export function publishRemote(node: LabNode): void {
  node.lab.apply("remote-nodes", remoteNodes());
  const ofNodes = Array.from({ length: REMOTE_NODES }, () => [] as string[]);
  for (let n = 0; n < REMOTE; n++) {
    const k = n % REMOTE_NODES, i = Math.floor(n / REMOTE_NODES) + 2;
    const endpoint = {
      apiVersion: "cilium.io/v2",
      kind: "CiliumEndpoint",
      metadata: { name: `pod-${n}`, namespace: "bench", labels: { app: `app-${n % 200}` } },
      status: {
        id: n % 65536,
        identity: {
          id: 1000 + n % 200,
          labels: [
            `k8s:app=app-${n % 200}`,
            "k8s:io.cilium.k8s.policy.cluster=default",
            "k8s:io.cilium.k8s.policy.serviceaccount=default",
            "k8s:io.kubernetes.pod.namespace=bench",
          ],
        },
        networking: {
          addressing: [{ ipv4: `10.${200 + (k >> 6)}.${(k & 63) << 2 | i >> 8}.${i & 255}` }],
          node: octets("192.168", 1000 + k),
        },
        state: "ready",
      },
    };
    ofNodes[k]!.push(JSON.stringify(endpoint));
  }
  for (const [k, endpoints] of ofNodes.entries()) {
    const folder = `${node.lab.manifests}/.pilus/endpoints/remote-${k}`;
    Deno.mkdirSync(folder, { recursive: true });
    for (let first = 0; first < endpoints.length; first += BATCH) {
      const text = batchText(endpoints.slice(first, first + BATCH));
      Deno.writeTextFileSync(`${folder}/endpoints-${first / BATCH + 1}.json`, text);
    }
  }
}

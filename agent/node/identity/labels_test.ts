import { assertEquals } from "@std/assert";
import { formatCidr, parseCidr } from "../../../datapath/net/ip.ts";
import { CIDR_IDENTITY_SCOPE } from "./cidr.ts";
import { numberCidrs } from "./testdata/number_cidrs.ts";
import { formatLabels, identityLabels, parseLabels } from "../../cluster/labels.ts";

Deno.test("identityLabels() are Cilium's, without the labels that differ from pod to pod", () => {
  const labels = identityLabels(
    {
      metadata: {
        name: "x",
        namespace: "demo",
        labels: { app: "web", "pod-template-hash": "1", "app.kubernetes.io/name": "web" },
      },
      spec: { serviceAccountName: "robot" },
    },
    { kind: "Namespace", metadata: { name: "demo", namespace: "", labels: { team: "a" } } },
  );
  assertEquals(formatLabels(labels), [
    "k8s:app.kubernetes.io/name=web",
    "k8s:app=web",
    "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=demo",
    "k8s:io.cilium.k8s.namespace.labels.team=a",
    "k8s:io.cilium.k8s.policy.cluster=default",
    "k8s:io.cilium.k8s.policy.serviceaccount=robot",
    "k8s:io.kubernetes.pod.namespace=demo",
  ]);
  assertEquals(parseLabels(formatLabels(labels)), labels);
});

Deno.test("identityLabels() take the service account by either name of its field, the newer one first", () => {
  const account = (spec: Parameters<typeof identityLabels>[0]["spec"]) =>
    identityLabels(
      { metadata: { name: "x", namespace: "demo", labels: {} }, spec: spec! },
      undefined,
    )["k8s:io.cilium.k8s.policy.serviceaccount"];
  assertEquals(account({}), "default");
  assertEquals(account({ serviceAccount: "old" }), "old");
  assertEquals(account({ serviceAccount: "old", serviceAccountName: "new" }), "new");
});

Deno.test("numberCidrs() gives a prefix the same number whatever else there is, in the node's own scope", () => {
  const [first, second] = numberCidrs(["10.1.2.3/8", "10.0.0.0/8", "fd00::/8"].map(parseCidr));
  assertEquals([first!, second!].map(({ cidr }) => formatCidr(cidr)), ["10.0.0.0/8", "fd00::/8"]);
  assertEquals(numberCidrs([parseCidr("fd00::/8")])[0]!.id, second!.id);
  assertEquals(first!.id >>> 24, CIDR_IDENTITY_SCOPE >>> 24);
  assertEquals(Object.keys(first!.labels), ["cidr:10.0.0.0/8", "reserved:world-ipv4"]);
});

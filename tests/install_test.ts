/** What `pilus manifest` prints, on a real API server. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { installManifest } from "../agent/node/install/manifest.ts";
import { ControlPlane, whyNoControlPlane } from "./kubernetes/control_plane.ts";
import { SLICES } from "./kubernetes/node_store.ts";
import { retry } from "./kubernetes/retry.ts";

const why = whyNoControlPlane();

const PLURALS: Record<string, string> = {
  ValidatingAdmissionPolicy: "validatingadmissionpolicies",
};

interface Installed {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string };
}

function pathOf({ apiVersion, kind, metadata: { namespace } }: Installed): string {
  const root = apiVersion.includes("/") ? "/apis" : "/api";
  const within = namespace ? `/namespaces/${namespace}` : "";
  return `${root}/${apiVersion}${within}/${PLURALS[kind] ?? `${kind.toLowerCase()}s`}`;
}

Deno.test({
  name: `what pilus manifest prints, on a real API server${why ? ` (skipped: ${why})` : ""}`,
  ignore: why !== undefined,
  async fn(t) {
    await using plane = await ControlPlane.start();

    await t.step("the server takes it without a warning", async () => {
      for (const object of installManifest() as unknown as Installed[]) {
        await retry(async () => {
          const response = await plane.fetch("POST", pathOf(object), object);
          const text = await response.text();
          if (response.status === 409) return;
          assertEquals([response.status, response.headers.get("warning")], [201, null], text);
        }, 5000);
      }
    });

    await t.step("a node's token writes the slices of that node, and no others", async () => {
      const slice = (name: string, owner: string | undefined) => ({
        ...{ apiVersion: "cilium.io/v2alpha1", kind: "CiliumEndpointSlice" },
        metadata: {
          name,
          ...(owner
            ? { ownerReferences: [{ apiVersion: "v1", kind: "Node", name: owner, uid: "u" }] }
            : {}),
        },
        ...{ namespace: "demo", endpoints: [] },
      });
      const as = (node: string | undefined): Record<string, string> => ({
        "impersonate-user": "system:serviceaccount:kube-system:pilus",
        "impersonate-group": "system:serviceaccounts",
        ...(node ? { "impersonate-extra-authentication.kubernetes.io%2fnode-name": node } : {}),
      });
      const ask = async (node: string | undefined, method: string, path: string, body?: object) => {
        const response = await plane.fetch(method, path, body, undefined, as(node));
        return { status: response.status, text: await response.text() };
      };
      // the policy is in force a little later
      let turn = 0;
      await retry(async () => {
        const { status, text } = await ask("a", "POST", SLICES, slice(`try-${++turn}`, "b"));
        assertEquals(status, 422, text);
        assertStringIncludes(text, "a node writes the slices that its own Node owns");
      });
      const patch = { endpoints: [] };
      const cases: [
        node: string | undefined,
        method: string,
        object: string,
        body: object | undefined,
        allowed: boolean,
      ][] = [
        ["a", "POST", "", slice("mine", "a"), true],
        ["a", "POST", "", slice("nobodys", undefined), false],
        ["a", "PATCH", "/mine", patch, true],
        ["b", "PATCH", "/mine", patch, false],
        // neither given away nor taken
        ["a", "PATCH", "/mine", { metadata: slice("mine", "b").metadata }, false],
        ["b", "PATCH", "/mine", { metadata: slice("mine", "b").metadata }, false],
        ["b", "DELETE", "/mine", undefined, false],
        ["a", "DELETE", "/mine", undefined, true],
        // a token that was made by hand is of no node
        [undefined, "POST", "", slice("by-hand", "b"), true],
      ];
      for (const [node, method, object, body, allowed] of cases) {
        const { status, text } = await ask(node, method, SLICES + object, body);
        assertEquals(status < 300, allowed, `${node} ${method} ${object}: ${status} ${text}`);
      }
    });
  },
});

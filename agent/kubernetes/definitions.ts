/**
 * The CustomResourceDefinitions of the kinds that pilus reads and writes. What nodes write is checked by
 * the API server field by field. Of policies, which newer programs may give more fields, the forms are
 * checked and unknown fields kept: in a rule they may be what restricts it.
 */

import { ciliumClusterwidePolicySchema, ciliumPolicySchema } from "./cilium_policy.ts";
import { type Schema, shapeOf } from "./schema.ts";

type Json = Record<string, unknown>;

/** One definition, as far as they differ. */
interface Definition {
  kind: string;
  plural: string;
  shortNames: readonly string[];
  scope: "Cluster" | "Namespaced";
  version: string;
  schema: Json;
  subresources?: Json;
  columns?: readonly Json[];
}

const GROUP = "cilium.io";

const KEPT: Json = { "x-kubernetes-preserve-unknown-fields": true };

/** The structural schema of what a schema looks at; what it passes over is kept. */
function structural(schema: Schema): Json {
  const shape = shapeOf(schema);
  if (!shape) return KEPT;
  if ("item" in shape) return { type: "array", items: structural(shape.item) };
  const properties = Object.fromEntries(
    Object.entries(shape.fields).map(([name, field]) => [name, structural(field)]),
  );
  return { type: "object", properties, ...KEPT };
}

function policy(schema: Schema): Json {
  const { properties } = structural(schema) as { properties: Json };
  const { spec, specs } = properties;
  return {
    type: "object",
    properties: {
      spec,
      specs,
      status: { type: "object", ...KEPT },
    },
  };
}

const text = (more: Json = {}): Json => ({ type: "string", ...more });
const integer = (minimum: number, maximum: number): Json => ({
  ...{ type: "integer", format: "int64", minimum, maximum },
});
const list = (items: Json, maxItems: number): Json => ({ type: "array", items, maxItems });
const object = (properties: Json, required: readonly string[] = [], more: Json = {}): Json => ({
  type: "object",
  properties,
  ...(required.length > 0 ? { required } : {}),
  ...more,
});
const texts: Json = {
  type: "object",
  additionalProperties: text({ maxLength: 256 }),
  maxProperties: 512,
};

const IPV4 = text({ format: "ipv4" }), IPV6 = text({ format: "ipv6" });

const sliceEndpoint = object({
  name: text({ minLength: 1, maxLength: 253 }),
  id: integer(1, 0xffff_ffff),
  networking: object({
    addressing: list(object({ ipv4: IPV4, ipv6: IPV6 }), 8),
    node: text({ maxLength: 45 }),
  }, ["addressing", "node"]),
  encryption: object({ key: integer(0, 255) }),
  "named-ports": list(
    object({
      name: text({ maxLength: 63 }),
      port: integer(1, 65535),
      protocol: text({ enum: ["", "TCP", "UDP", "SCTP"] }),
    }, ["name", "port", "protocol"]),
    256,
  ),
  "endpoint-id": integer(0, 0xffff_ffff),
  "service-account": text({ maxLength: 253 }),
  labels: texts,
}, ["name", "id", "networking"]);

const DEFINITIONS: readonly Definition[] = [
  {
    kind: "CiliumEndpointSlice",
    plural: "ciliumendpointslices",
    shortNames: ["ces"],
    scope: "Cluster",
    version: "v2alpha1",
    schema: object({
      namespace: text({ minLength: 1, maxLength: 63 }),
      endpoints: list(sliceEndpoint, 256),
    }, ["endpoints"]),
    columns: [{ name: "Namespace", type: "string", jsonPath: ".namespace" }],
  },
  {
    kind: "CiliumIdentity",
    plural: "ciliumidentities",
    shortNames: ["ciliumid"],
    scope: "Cluster",
    version: "v2",
    schema: object(
      {
        metadata: { type: "object", properties: { name: text({ pattern: "^[1-9][0-9]{0,9}$" }) } },
        "security-labels": texts,
      },
      ["security-labels"],
      {
        "x-kubernetes-validations": [{
          rule: "self.security__dash__labels == oldSelf.security__dash__labels",
          message: "a number is of one label set for ever: delete the object, and make another",
        }],
      },
    ),
  },
  {
    kind: "CiliumNetworkPolicy",
    plural: "ciliumnetworkpolicies",
    shortNames: ["cnp", "ciliumnp"],
    scope: "Namespaced",
    version: "v2",
    schema: policy(ciliumPolicySchema),
    subresources: { status: {} },
  },
  {
    kind: "CiliumClusterwideNetworkPolicy",
    plural: "ciliumclusterwidenetworkpolicies",
    shortNames: ["ccnp"],
    scope: "Cluster",
    version: "v2",
    schema: policy(ciliumClusterwidePolicySchema),
    subresources: { status: {} },
  },
];

/** As the API server takes them. */
export function customResourceDefinitions(): Json[] {
  return DEFINITIONS.map((each) => {
    const { kind, plural, shortNames, scope, version, schema, subresources, columns } = each;
    return {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${plural}.${GROUP}` },
      spec: {
        group: GROUP,
        scope,
        names: {
          ...{ kind, plural, shortNames, listKind: `${kind}List` },
          ...{ singular: kind.toLowerCase(), categories: ["cilium"] },
        },
        versions: [{
          ...{ name: version, served: true, storage: true },
          schema: { openAPIV3Schema: schema },
          ...(subresources ? { subresources } : {}),
          ...(columns ? { additionalPrinterColumns: columns } : {}),
        }],
      },
    };
  });
}

/** What resources of all kinds have: names, labels, selectors, addresses. */

import { isSpecialIp, parseIp, tryParseCidr, tryParseIp } from "../../datapath/net/ip.ts";
import {
  type Fields,
  type Infer,
  integer,
  list,
  object,
  oneOf,
  orUnset,
  record,
  refine,
  type Schema,
  text,
} from "./schema.ts";

export const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED_NAME = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$/;

export const name = text(
  "a name of small letters, digits, '-' and '.'",
  (value) => value.length <= 253 && DNS_NAME.test(value),
);
export const labelName = text(
  "a name of at most 63 small letters, digits and '-'",
  (value) => DNS_LABEL.test(value),
);
export const serviceName = text(
  "a name of at most 63 small letters, digits and '-' that begins with a letter",
  (value) => DNS_LABEL.test(value) && /^[a-z]/.test(value),
);
export const portName = text(
  "a port name of at most 15 small letters, digits and '-', with a letter",
  (value) =>
    value.length <= 15 && DNS_LABEL.test(value) && /[a-z]/.test(value) && !value.includes("--"),
);
export const port = integer(1, 65535);
export const givenProtocol = oneOf("TCP", "UDP", "SCTP");
export const portProtocol = orUnset(givenProtocol);
export const ip = text("an IPv4 or IPv6 address", (value) => tryParseIp(value) !== undefined);
/** What another host may have: the API server's rule for externalIPs and endpoints. */
export const hostIp = refine(
  ip,
  (value) =>
    isSpecialIp(parseIp(value))
      ? `is ${value}: an unspecified, loopback or link-local address is no other host's`
      : undefined,
);
export const cidr = text(
  "an IPv4 or IPv6 prefix such as 10.0.0.0/8",
  (value) => value.includes("/") && !/^::ffff:/i.test(value) && tryParseCidr(value) !== undefined,
);
export const cidrOrIp = text(
  "an IPv4 or IPv6 prefix such as 10.0.0.0/8",
  (value) => tryParseCidr(value) !== undefined,
);

/** Whether it may be the key of a label, such as `app` or `example.com/app`. */
export function isQualifiedName(value: string): boolean {
  const slash = value.indexOf("/");
  if (slash >= 0 && !DNS_NAME.test(value.slice(0, slash))) return false;
  return QUALIFIED_NAME.test(value.slice(slash + 1));
}
const LABEL_KEY = "a label key such as app or example.com/app";
const labelKey = text(LABEL_KEY, isQualifiedName);
/** With a source, such as `k8s:app` or `reserved:host`. */
const ciliumLabelKey = text(
  LABEL_KEY,
  (value) => isQualifiedName(value.replace(/^[a-z0-9]+[:.](?=.)/, "")) || isQualifiedName(value),
);
const labelValue = text(
  "a label value of at most 63 letters, digits, '-', '_' and '.'",
  (value) => value === "" || QUALIFIED_NAME.test(value),
);
/** Null is the empty text. */
function orNull(schema: Schema<string>): Schema<string> {
  return (value) => value === null ? [] : schema(value);
}
export const labels = record(orNull(labelValue), labelKey);

function labelSelector(key: Schema<string>) {
  return object({
    matchLabels: record(orNull(labelValue), key),
    matchExpressions: list(refine(
      object({
        key,
        operator: oneOf("In", "NotIn", "Exists", "DoesNotExist"),
        values: list(labelValue),
      }, { required: ["key", "operator"] }),
      ({ operator, values }) => {
        const needs = operator === "In" || operator === "NotIn";
        const has = (values ?? []).length > 0;
        if (needs === has) return undefined;
        return `has operator ${operator}, which takes ${needs ? "at least one of" : "no"} values`;
      },
    )),
  });
}
export const selector = labelSelector(labelKey);
export const ciliumSelector = labelSelector(ciliumLabelKey);

const annotationKey = text(
  "a key such as note or example.com/note",
  (value) => isQualifiedName(value.toLowerCase()),
);
/** Bytes of all annotations of a resource, as the API server has it. */
const MAX_ANNOTATIONS = 256 * 1024;

/** Of another kind than those of a namespace. */
const noNamespace: Schema<string> = text(
  "left out of what is of the whole cluster",
  (value) => value === "",
);

/** RFC 3339, as the API server has it. */
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;
const time = text(
  "a time such as 2026-01-31T12:00:00Z",
  (value) => TIME.test(value) && !Number.isNaN(Date.parse(value)),
);

function metadata(name: Schema<string>, namespaced: boolean) {
  return object({
    name,
    namespace: namespaced ? orUnset(labelName) : noNamespace,
    labels,
    creationTimestamp: time,
    annotations: refine(record(orNull(text()), annotationKey), (annotations) => {
      const size = Object.entries(annotations)
        .reduce((sum, [key, value]) => sum + key.length + (value ?? "").length, 0);
      return size > MAX_ANNOTATIONS
        ? `has ${size} bytes, and ${MAX_ANNOTATIONS} are the most`
        : undefined;
    }),
  }, {
    required: ["name"],
    unused: [
      "deletionGracePeriodSeconds",
      "deletionTimestamp",
      "finalizers",
      "generateName",
      "generation",
      "managedFields",
      "ownerReferences",
      "resourceVersion",
      "selfLink",
      "uid",
    ],
  });
}

/** What a kind's names are, and whether it is of the whole cluster. */
export interface Naming {
  /** @default {name} */
  names?: Schema<string>;
  /** @default {true} */
  namespaced?: boolean;
}

/** A resource with these fields besides its metadata. */
export function resource<Of extends Fields, Required extends string = never>(
  fields: Of,
  required: readonly Required[] = [],
  { names = name, namespaced = true }: Naming = {},
) {
  return object({
    apiVersion: text(),
    kind: text(),
    metadata: metadata(names, namespaced),
    ...fields,
  }, {
    required: ["metadata", ...required],
    unused: Object.hasOwn(fields, "status") ? [] : ["status"],
  });
}

/** Transport protocols that ports are of. */
export type PortProtocol = Infer<typeof portProtocol>;

/** Selects what meets every requirement; an empty one selects everything. */
export type LabelSelector = Infer<typeof selector>;

/** One requirement of a label selector. */
export type LabelRequirement = NonNullable<LabelSelector["matchExpressions"]>[number];

/** Of every resource, in tables. */
export interface ObjectMeta {
  name: string;
  /** Empty for what is cluster-wide; `default` when the manifest names none. */
  namespace: string;
  labels: Record<string, string>;
  annotations?: Record<string, string>;
  /** Of a Pod, as its runtime names it. */
  uid?: string;
  /** Of what may claim an address or port that is another's. */
  creationTimestamp?: string;
}

/** What is read of any resource. */
export interface Resource {
  kind: string;
  metadata: ObjectMeta;
}

/** A resource as tables have it: what its schema takes, normalised. */
export type Normalised<Kind extends string, Value> =
  & Omit<Value, "apiVersion" | "kind" | "metadata">
  & { kind: Kind; metadata: ObjectMeta };

/**
 * Where pilus and Cilium decide differently on purpose, and why. Besides, a field that is nothing is
 * none to pilus, as in Kubernetes' own kinds; for kinds of CRDs it is a fault.
 */

import { KUBERNETES_ALONE, NOT_KUBERNETES, type OursOnly, type TheirsOnly } from "./differences.ts";

/** What texts of any kind may have wrong, as Kubernetes says it. */
const OF_ANY_KIND = KUBERNETES_ALONE.filter(({ fault }) => !fault.source.startsWith("^spec"));

export const CILIUM_ALONE: readonly TheirsOnly[] = [
  ...OF_ANY_KIND,
  {
    fault:
      /Go struct field ObjectMeta\.(?!name\b|namespace|labels|annotations|creationTimestamp)|ManagedFieldsEntry|OwnerReference/,
    reason: "pilus keeps no objects",
  },
  {
    fault: /(from|to)CIDR\[\d+\] in body must be of type cidr: "[\da-f.:]+"$/,
    reason: "Cilium's parser takes an address alone, as its CRDs did before 1.17",
  },
  {
    fault: /Entities\[\d+\]: Unsupported value: "world-ipv[46]"/,
    reason: "Cilium's parser and documentation have them, its CRD has not",
  },
  {
    fault:
      /^specs?(\[\d+\])?\.(labels|log)|^invalid Label|unmarshal .* Go struct field Rule\S*\.labels /,
    reason: "not read",
  },
  {
    fault:
      /\.(http|kafka|l7|l7proto)[.[:]|HTTPRule|L7Rules|L7 rules can only apply to TCP|ServerNames are not allowed|L7 protocol HTTP/,
    reason: "pilus reads of such rules that they are there, and says that they are not served",
  },
];

export const NOT_CILIUM: readonly OursOnly[] = [
  ...NOT_KUBERNETES,
  {
    message: /has an endPort, which needs a port that is a number/,
    reason: "Cilium leaves the endPort out: a policy would allow less than it says",
  },
  {
    message: /has endPort \d+, which is less than port/,
    reason: "Cilium takes it; a range that ends before it begins is a mistake",
  },
  {
    message: /has operator (In|NotIn), which takes at least one of values/,
    reason: "Cilium takes it, and its selector selects nothing",
  },
  {
    message: /has operator (Exists|DoesNotExist), which takes no values/,
    reason: "the same",
  },
  {
    message: /type is the number -?\d+, and must be an integer from 0 to 255/,
    reason: "Cilium takes it; there is no such type of ICMP",
  },
  {
    message:
      /(matchExpressions\[\d+\]\.key|^\d+: (items\[\d+\]: )?\S+ \S+: key of \S+matchLabels) is the string/,
    reason: "Cilium takes it; no label is called so",
  },
  {
    message: /must have spec or specs/,
    reason: "Cilium takes an empty list of specs, which says nothing",
  },
];

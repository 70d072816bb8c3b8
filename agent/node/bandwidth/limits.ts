/** The bandwidth that a Pod's annotations give it. */

import { EndpointFlags } from "../../../datapath/maps/generated.ts";
import { BANDWIDTH_ANNOTATIONS } from "../../kubernetes/bandwidth_annotations.ts";
import type { Pod } from "../../kubernetes/resources.ts";
import { parseQuantity } from "../../kubernetes/quantity.ts";

const DIRECTIONS = ["egress", "ingress"] as const;

/** Bits per second that Kubernetes takes for reasonable. */
const LEAST = 1_000, MOST = 1e15;

/** In bytes per second; 0: no limit. */
export interface Limits {
  egress: number;
  ingress: number;
}

/** Whether its annotations say anything about bandwidth, right or wrong. */
export function hasLimits({ metadata: { annotations } }: Pod): boolean {
  return annotations !== undefined &&
    DIRECTIONS.some((direction) => annotations[BANDWIDTH_ANNOTATIONS[direction]] !== undefined);
}

/** The limits of a pod. What is wrong with an annotation is reported, and it limits nothing. */
export function limitsOf(
  { metadata: { annotations = {} } }: Pod,
  report: (message: string) => void,
): Limits {
  const limits: Limits = { egress: 0, ingress: 0 };
  for (const direction of DIRECTIONS) {
    const name = BANDWIDTH_ANNOTATIONS[direction], text = annotations[name];
    if (text === undefined) continue;
    const bits = parseQuantity(text);
    if (bits === undefined || bits < LEAST || bits > MOST) {
      report(
        `annotation ${name} is ${
          JSON.stringify(text)
        }, and must be bits per second from 1k to 1P, ` +
          "such as 10M; there is no limit",
      );
    } else {
      limits[direction] = Math.ceil(bits / 8);
    }
  }
  return limits;
}

/** What the programs see of it in the endpoint's row. */
export function limitFlags({ egress, ingress }: Limits): number {
  return (egress > 0 ? EndpointFlags.EGRESS_LIMITED : 0) |
    (ingress > 0 ? EndpointFlags.INGRESS_LIMITED : 0);
}

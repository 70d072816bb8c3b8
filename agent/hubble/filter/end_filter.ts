/** What filters ask of an end of a flow. */

import type {
  EndpointMessage,
  FlowFilterMessage,
  FlowMessage,
  ServiceMessage,
  WorkloadMessage,
} from "../flow_message.ts";
import { FilterError } from "./filter_error.ts";
import { addressTest } from "./ip_filter.ts";
import { labelSelectors } from "./label_selector.ts";
import { namePatterns } from "./patterns.ts";

export type FlowTest = (flow: FlowMessage) => boolean;

/** What a flow has of one end. */
interface End {
  ip(flow: FlowMessage): string | undefined;
  endpoint(flow: FlowMessage): EndpointMessage | undefined;
  names(flow: FlowMessage): readonly string[] | undefined;
  service(flow: FlowMessage): ServiceMessage | undefined;
  port(flow: FlowMessage): number | undefined;
}

const SOURCE: End = {
  ip: ({ IP }) => IP?.source,
  endpoint: ({ source }) => source,
  names: (flow) => flow.source_names,
  service: (flow) => flow.source_service,
  port: (flow) => ports(flow)?.source_port,
};

const DESTINATION: End = {
  ip: ({ IP }) => IP?.destination,
  endpoint: ({ destination }) => destination,
  names: (flow) => flow.destination_names,
  service: (flow) => flow.destination_service,
  port: (flow) => ports(flow)?.destination_port,
};

function ports({ l4 }: FlowMessage) {
  return l4?.TCP ?? l4?.UDP ?? l4?.SCTP;
}

/** The tests of both ends. Throws FilterError. */
export function endTests(filter: FlowFilterMessage): FlowTest[] {
  const sides = [["source", SOURCE], ["destination", DESTINATION]] as const;
  const tests = sides.flatMap(([side, end]) => [
    given(filter[`${side}_ip`], (values) => {
      const passes = addressTest(values);
      return (flow) => has(end.ip(flow), passes);
    }),
    given(filter[`${side}_pod`], (values) => {
      const passes = namespacedNames(values);
      return (flow) => {
        const { namespace, pod_name } = end.endpoint(flow) ?? {};
        return passes(namespace ?? "", pod_name ?? "");
      };
    }),
    given(filter[`${side}_service`], (values) => {
      const passes = namespacedNames(values);
      return (flow) => {
        const { namespace, name } = end.service(flow) ?? {};
        return passes(namespace ?? "", name ?? "");
      };
    }),
    given(filter[`${side}_fqdn`], (values) => {
      const passes = namePatterns(values);
      return (flow) => end.names(flow)?.some(passes) ?? false;
    }),
    given(filter[`${side}_label`], (values) => {
      const passes = labelSelectors(values);
      return (flow) => passes(end.endpoint(flow)?.labels ?? NO_LABELS);
    }),
    given(
      filter[`${side}_workload`],
      (values) => (flow) =>
        end.endpoint(flow)?.workloads?.some((workload) =>
          values.some((wanted) => fits(wanted, workload))
        ) ?? false,
    ),
    given(filter[`${side}_cluster_name`], (values) => {
      if (values.includes("")) throw new FilterError("a cluster needs a name");
      return (flow) => values.includes(end.endpoint(flow)?.cluster_name ?? "");
    }),
    given(
      filter[`${side}_identity`],
      (values) => (flow) =>
        has(end.endpoint(flow), ({ identity }) => values.includes(identity ?? 0)),
    ),
    given(filter[`${side}_port`], (values) => {
      const numbers = values.map(portNumber);
      return (flow) => has(end.port(flow), (port) => numbers.includes(port));
    }),
  ]);
  const xlated = given(filter.source_ip_xlated, (values) => {
    const passes = addressTest(values);
    return ({ IP }) => has(IP?.source_xlated || undefined, passes);
  });
  return [...tests, xlated].filter((test) => test !== undefined);
}

const NO_LABELS: readonly string[] = [];

/** The test of a field that has values. */
export function given<T>(
  values: readonly T[] | undefined,
  make: (values: readonly T[]) => FlowTest,
): FlowTest | undefined {
  return values && values.length > 0 ? make(values) : undefined;
}

function has<T>(value: T | undefined, passes: (value: T) => boolean): boolean {
  return value !== undefined && passes(value);
}

/** `namespace/beginning of a name`, `namespace/`, `/beginning`, or a beginning in `default`. */
function namespacedNames(
  texts: readonly string[],
): (namespace: string, name: string) => boolean {
  const wanted = texts.map((text) => {
    if (text === "") throw new FilterError("a name must not be empty");
    const slash = text.indexOf("/");
    return slash < 0
      ? { namespace: "default", beginning: text }
      : { namespace: text.slice(0, slash), beginning: text.slice(slash + 1) };
  });
  return (namespace, name) =>
    (namespace !== "" || name !== "") &&
    wanted.some((one) =>
      (one.namespace === "" || one.namespace === namespace) && name.startsWith(one.beginning)
    );
}

function fits(wanted: WorkloadMessage, { name, kind }: WorkloadMessage): boolean {
  return (!wanted.name || wanted.name === name) && (!wanted.kind || wanted.kind === kind);
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new FilterError(`"${text}" is no port`);
  return port;
}

/** Programs at the node's devices, its tunnel, its pods and its sockets; the sysctls and pins they need. */

import { Bpffs, HeldMaps } from "../../../datapath/bpffs.ts";
import type { XdpDeviceState } from "../../../datapath/xdp_device.ts";
import { type Endpoint, endpointKey } from "../../api/endpoint.ts";
import { derive } from "../../core/derive.ts";
import type { Log } from "../../core/log.ts";
import { Reconciler } from "../../core/reconciler.ts";
import type { Table } from "../../core/table.ts";
import type { AgentConfig } from "../config.ts";
import type { Kernel } from "../kernel.ts";
import type { Part } from "../part.ts";
import { type AttachmentRow, attachmentTable } from "./attachment.ts";
import { AttachmentRecord } from "./attachment_record.ts";
import { AttachmentTarget } from "./attachment_target.ts";
import { deviceRow, deviceTable, deviceTarget } from "./device_map.ts";
import { mapPinTable, mapPinTarget } from "./pin_target.ts";
import {
  NODE_SYSCTLS,
  stopsForwarding,
  type SysctlRow,
  sysctlTable,
  sysctlTarget,
} from "./sysctls.ts";

/** Milliseconds between comparisons of what the kernel gives no notice of. */
const COMPARE_INTERVAL_MS = 500;

/** What other parts need of it. */
export interface AttachmentsPart extends Part {
  /** Names the endpoints that an earlier agent has left: what is attached to them stays. */
  expect(endpoints: readonly Endpoint[]): void;
  /** Resolves when the programs of the pod's device are attached. Throws ReconcileError. */
  attach(endpoint: Endpoint): Promise<void>;
  /** Resolves when nothing of the pod is attached or pinned. */
  detach(endpoint: Endpoint): Promise<void>;
}

/** Wires devices and endpoints to what is attached to them. */
export function attachmentsPart(
  { config, log, kernel, endpoints }: {
    config: AgentConfig;
    log: Log;
    kernel: Kernel;
    endpoints: Table<Endpoint>;
  },
): AttachmentsPart {
  const { loader, maps, devices, facts, tunnel, sockmap } = kernel;
  const stack = new AsyncDisposableStack();
  const repairIntervalMs = config.repairInterval * 1000;

  const deviceRows = deviceTable();
  stack.use(derive([devices], () => devices.rows().map(deviceRow), deviceRows));
  const devicesOfPrograms = stack.use(
    new Reconciler({
      name: "devices",
      desired: deviceRows,
      target: deviceTarget(maps.pilus_devices),
      repairIntervalMs,
    }),
  );

  const pods = attachmentTable();
  const rows = attachmentTable();
  stack.use(derive<AttachmentRow>([devices, pods], () => [
    ...devices.rows().flatMap(({ name, ifindex }): AttachmentRow[] => {
      const rest = { device: name, ifindex, subject: `device ${name}` };
      return [{ hook: "tc", kind: "host", ...rest }, { hook: "xdp", ...rest }];
    }),
    ...tunnel ? [tunnelAttachment(tunnel)] : [],
    { hook: "sockets", device: "", ifindex: 0, subject: `cgroup ${config.cgroup}` },
    ...pods.rows(),
  ], rows));
  const xdp = new Map<string, XdpDeviceState>();
  const bpffs = new Bpffs([loader.linkDirectory, loader.mapDirectory]);
  const record = new AttachmentRecord(config.runDir);
  const target = stack.use(
    new AttachmentTarget({
      ...{ loader, bpffs, record },
      cgroup: config.cgroup,
      xdp: config.xdp,
      onXdp(state) {
        xdp.set(state.device, state);
        log.info("XDP", { ...state });
      },
    }),
  );
  const changed = target.changedMeanwhile();
  const attaching = stack.use(
    new Reconciler({
      name: "attachments",
      desired: rows,
      target,
      repairIntervalMs: COMPARE_INTERVAL_MS,
      maxBackoffMs: COMPARE_INTERVAL_MS,
      ...record.earlier ? { earlier: { at: record.earlier.at, changed } } : {},
    }),
  );

  const held = stack.use(new HeldMaps(loader.mapDirectory));
  const pinning = stack.use(
    new Reconciler({
      name: "map-pins",
      desired: mapPinTable(held),
      target: mapPinTarget(held, bpffs),
      repairIntervalMs: COMPARE_INTERVAL_MS,
    }),
  );

  const sysctls = sysctlTable();
  stack.use(derive(
    [endpoints, facts.links],
    () => [
      ...NODE_SYSCTLS,
      ...endpoints.rows().filter(({ state, hostIfindex }) =>
        state === "ready" && facts.links.has(String(hostIfindex))
      ).flatMap(podSysctls),
    ],
    sysctls,
  ));
  const forwarding = stack.use(
    new Reconciler({
      name: "sysctls",
      desired: sysctls,
      target: sysctlTarget(sysctls),
      repairIntervalMs,
    }),
  );
  let started = false;
  stack.use(facts.listen((notices) => {
    if (!started) return;
    const overrun = notices.some(({ kind }) => kind === "overrun");
    if (overrun || notices.some(stopsForwarding)) {
      void forwarding.repair();
    }
    const gone = notices.some((notice) =>
      notice.kind === "link" && notice.gone &&
      rows.rows().some(({ ifindex }) => ifindex === notice.link.ifindex)
    );
    if (overrun || gone) void attaching.repair();
  }));

  return {
    name: "attachments",
    reconcilers: [devicesOfPrograms, attaching, pinning, forwarding],
    start() {
      if (sockmap.on) loader.attachSockmap(config.cgroup);
      else loader.detachSockmap();
      started = true;
    },
    expect: (left) => pods.replace(left.map(podAttachment)),
    async attach(endpoint) {
      const row = podAttachment(endpoint);
      pods.set(row);
      await attaching.flush([rows.keyOf(row)]);
    },
    async detach(endpoint) {
      const key = rows.keyOf(podAttachment(endpoint));
      pods.delete(key);
      await attaching.flush([key]);
    },
    status: () => ({
      devices: devices.rows(),
      xdp: devices.rows().map(({ name }) => xdp.get(name)).filter((s) => s !== undefined),
      sockmap,
    }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function tunnelAttachment(ifindex: number): AttachmentRow {
  return { hook: "tc", kind: "overlay", device: "tunnel", ifindex, subject: "the tunnel" };
}

function podAttachment(endpoint: Endpoint): AttachmentRow {
  const { namespace, pod, hostIfname, hostIfindex } = endpoint;
  return {
    hook: "tc",
    kind: "pod",
    device: hostIfname,
    ifindex: hostIfindex,
    subject: pod ? `pod ${namespace}/${pod}` : `endpoint ${endpointKey(endpoint)}`,
  };
}

function podSysctls({ hostIfname, ipv4, ipv6 }: Endpoint): SysctlRow[] {
  return [
    ...ipv4
      ? [
        { name: `ipv4/conf/${hostIfname}/rp_filter`, value: "0" },
        { name: `ipv4/conf/${hostIfname}/forwarding`, value: "1" },
      ]
      : [],
    ...ipv6 ? [{ name: `ipv6/conf/${hostIfname}/forwarding`, value: "1" }] : [],
  ];
}

/** What was seen against what may be: bytes of denied pods, connections that were cut. Pure. */

/** A change for the worse, with times in Unix milliseconds. */
export interface Fault {
  kind: string;
  node: string;
  /** When it began to be made. */
  from: number;
  /** When it was made: the kernel's notice is not later. */
  made: number;
  /** Whether it may take programs off, so that bytes of denied pods pass. */
  opens: boolean;
  /** Addresses of pods whose connections it may cut by its nature. */
  cuts: readonly string[];
}

/** What status said of a node, with times in Unix milliseconds. */
export interface Report {
  node: string;
  /** `away` when nothing answered. */
  kind: "away" | "not ok" | "put right";
  from: number;
  to: number;
  text: string;
}

/** A byte of a denied pod that arrived. */
export interface Passed {
  /** Unix milliseconds. */
  at: number;
  /** Address of the sender and name of the receiver. */
  from: string;
  to: string;
  what: string;
  bytes: number;
}

/** A long connection that ended. */
export interface Cut {
  /** Unix milliseconds. */
  at: number;
  client: string;
  server: string;
  why: string;
}

/** Bytes of a denied pod, one soon after the other. */
export interface Opening {
  from: number;
  to: number;
  frames: number;
  bytes: number;
  /** Whether the agent of the fault's node was away meanwhile. */
  away: boolean;
  faults: string[];
  /** Senders and receivers. */
  ways: string[];
}

/** How long something may be open after the kernel's notice, in milliseconds. */
const OPEN_MS = 2000;
/** Between two looks at status, and from a clock to another, in milliseconds. */
const SLACK_MS = 200;
/** Bytes that are further apart are not of one opening. */
const APART_MS = 1000;
/** How long after a fault a connection may notice its end. */
const CUT_MS = 30_000;

/** Until when a fault may have something open: an agent that is away gets its notice when it comes back. */
export function deadline(fault: Fault, reports: readonly Report[]): { at: number; away: boolean } {
  let at = fault.made + OPEN_MS;
  let away = false;
  for (const report of [...reports].sort((a, b) => a.from - b.from)) {
    if (report.kind !== "away" || report.node !== fault.node) continue;
    if (report.from > at || report.to < fault.from) continue;
    away = true;
    at = Math.max(at, report.to);
  }
  return { at, away };
}

/** The openings, and in words what of them may not be. */
export function judgePassed(
  passed: readonly Passed[],
  faults: readonly Fault[],
  reports: readonly Report[],
): { openings: Opening[]; violations: string[] } {
  const openings: Opening[] = [];
  /** Frames that may not pass, by opening and reason. */
  const wrong = new Map<string, Passed[]>();
  const spans = faults.filter(({ opens }) => opens)
    .map((fault) => ({ fault, ...deadline(fault, reports) }));
  for (const frame of [...passed].sort((a, b) => a.at - b.at)) {
    const { at, from, to, bytes } = frame;
    const causes = spans.filter((span) => span.fault.from - SLACK_MS <= at && at <= span.at);
    const reported = causes.some(({ fault }) =>
      reports.some((report) =>
        report.node === fault.node && report.from - SLACK_MS <= at && at <= report.to + SLACK_MS
      )
    );
    let opening = openings.at(-1);
    if (!opening || at - opening.to > APART_MS) {
      opening = { from: at, to: at, frames: 0, bytes: 0, away: false, faults: [], ways: [] };
      openings.push(opening);
    }
    opening.to = at;
    opening.frames++;
    opening.bytes += bytes;
    opening.away ||= causes.some(({ away }) => away);
    const names = causes.map(({ fault }) => `${fault.kind} on ${fault.node}`);
    opening.faults = [...new Set([...opening.faults, ...names])];
    opening.ways = [...new Set([...opening.ways, `${from} → ${to}`])];
    if (reported) continue;
    const why = causes.length === 0 ? "without a fault" : "and status did not report it";
    const key = `${openings.length} ${why}`;
    wrong.set(key, [...wrong.get(key) ?? [], frame]);
  }
  const violations = [...wrong].map(([key, frames]) => {
    const [first, last] = [frames[0]!, frames.at(-1)!];
    const kinds = [...new Set(frames.map(({ from, to, what }) => `${what} ${from} → ${to}`))];
    return `${clock(first.at)}-${clock(last.at)} ${frames.length} frames arrived ` +
      `${key.slice(key.indexOf(" ") + 1)}: ${kinds.join(", ")}`;
  });
  return { openings, violations };
}

/** In words the cuts that no fault explains. */
export function judgeCuts(cuts: readonly Cut[], faults: readonly Fault[]): string[] {
  return cuts.filter(({ at, client, server }) =>
    !faults.some((fault) =>
      fault.from <= at && at <= fault.made + CUT_MS &&
      (fault.cuts.includes(client) || fault.cuts.includes(server))
    )
  ).map(({ at, client, server, why }) => `${clock(at)} ${client} → ${server} was cut: ${why}`);
}

/** How long an agent may be busy with something else, in milliseconds. */
const BUSY_MS = 1000;

/** Times in which nothing answered although the agent was neither ended nor starting. */
export function judgeSilence(reports: readonly Report[], faults: readonly Fault[]): Report[] {
  return reports.filter(({ kind, node, from, to }) =>
    kind === "away" && to - from > BUSY_MS &&
    !faults.some((fault) =>
      fault.node === node && fault.kind.startsWith("agent ") &&
      fault.from <= to && from <= fault.made
    )
  );
}

/** Time of the day, UTC. */
export function clock(ms: number): string {
  return new Date(ms).toISOString().slice(11, 23);
}

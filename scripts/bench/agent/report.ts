/** Figures of the agent: printed as they come, kept for a file. */

/** A figure. */
export interface Row {
  case: string;
  metric: string;
  value: number;
  unit: string;
  /** The name of what the value is compared with. */
  peer: string;
  ratio: number | null;
}

/** What a figure must keep to. */
export interface Limit {
  limit: number;
  /** @default "most" */
  is?: "most" | "least";
}

/** Another program's figure of the same run. */
interface Peer {
  peer: string;
  value: number;
  /** The most that the ratio may be. */
  atMost?: number;
}

const rows: Row[] = [];
let broken = 0;

/** Prints a figure and keeps it. */
export function report(
  name: string,
  metric: string,
  value: number,
  unit: string,
  against?: Limit | Peer,
): void {
  let peer = "", ratio: number | null = null, kept = true;
  if (against && "limit" in against) {
    const { limit, is = "most" } = against;
    peer = `at ${is} ${limit.toLocaleString("en")} ${unit}`;
    ratio = limit === 0 ? null : value / limit;
    kept = is === "least" ? value >= limit : value <= limit;
  } else if (against) {
    const { atMost = Infinity } = against;
    ratio = value / against.value;
    peer = `${against.peer}: ${figure(against.value)} ${unit}, ${ratio.toFixed(2)} times` +
      (atMost === Infinity ? "" : `, at most ${atMost}`);
    kept = ratio <= atMost;
  }
  rows.push({ case: name, metric, value, unit, peer, ratio });
  if (!kept) broken++;
  console.log(
    `${name.padEnd(48)} ${metric.padEnd(23)} ${figure(value).padStart(11)} ${
      unit.padEnd(4)
    } ${peer}${kept ? "" : "  NOT KEPT"}`,
  );
}

function figure(value: number): string {
  if (Number.isInteger(value) || value >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(1);
}

/** By the nearest rank. */
export function quantile(values: number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * q) - 1]!;
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Milliseconds that the work takes. */
export async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Says on stderr what is being done, as some of it takes minutes. */
export function progress(text: string): void {
  console.error(`${new Date().toISOString().slice(11, 19)} ${text}`);
}

/** Writes the figures to a file. Returns whether every limit was kept. */
export function finish(path: string): boolean {
  Deno.writeTextFileSync(path, JSON.stringify(rows, null, 2) + "\n");
  return broken === 0;
}

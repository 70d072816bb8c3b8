/** Events from the buffer: counted, as flows to a monitor, and more than have room. */

import type { MetricRow } from "../../../agent/api/metrics_text.ts";
import { EventType } from "../../../datapath/maps/generated.ts";
import { EventSource } from "../../../datapath/testdata/event_source.ts";
import { cpuSeconds, withNode } from "./node.ts";
import { delay, report } from "./report.ts";

const EVENT_SECONDS = 5;
const DRAINED_PER_SECOND = 1_000_000;
const DECODED_PER_SECOND = 200_000;

/** Every flow in JSON has this once. */
const MARK = '"verdict":';

/** Gets all that `pilus monitor` gets, and only counts it. */
class Monitor implements Disposable {
  flows = 0;
  readonly #connection: Deno.UnixConn;
  #open = true;

  private constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
    void this.#read();
  }

  static async open(socket: string): Promise<Monitor> {
    const connection = await Deno.connect({ transport: "unix", path: socket });
    // of this version answers have no chunks, whose borders could be within a mark
    const request = "GET /v1/monitor HTTP/1.0\r\nhost: pilus\r\n\r\n";
    await connection.write(new TextEncoder().encode(request));
    return new Monitor(connection);
  }

  async #read(): Promise<void> {
    const bytes = new Uint8Array(1 << 18);
    const decoder = new TextDecoder("latin1");
    for (let text = ""; this.#open;) {
      const length = await this.#connection.read(bytes).catch(() => null);
      if (length === null) return;
      text = text.slice(1 - MARK.length) + decoder.decode(bytes.subarray(0, length));
      for (let at = text.indexOf(MARK); at >= 0; at = text.indexOf(MARK, at + 1)) this.flows++;
    }
  }

  [Symbol.dispose](): void {
    this.#open = false;
    this.#connection.close();
  }
}

/** Events sent in one go at a rate, after this process had to wait for its turn. */
const SEND_MOST = 5000;

/** Sends `rate` events a second, or `burst` at once ten times a second; returns how many. */
async function send(source: EventSource, rate: number, burst = 0): Promise<number> {
  const start = performance.now();
  for (let sent = 0;;) {
    const elapsed = Math.min(performance.now() - start, EVENT_SECONDS * 1000);
    const due = burst > 0 ? burst : Math.min(Math.floor(rate * elapsed / 1000) - sent, SEND_MOST);
    if (due > 0) source.send(due, EventType.VERDICT);
    sent += due;
    if (elapsed === EVENT_SECONDS * 1000) return sent;
    await delay(burst > 0 ? 100 : 1);
  }
}

/** Events from the buffer: only counted, as flows for one who listens, and more than have room. */
export async function events(): Promise<void> {
  await withNode(["--map-size", "pilus_events=8388608"], async (node) => {
    node.startAgent();
    await node.ready();
    await node.client.call("/v1/trace-level", { method: "POST", body: { level: "none" } });
    using source = new EventSource(`${node.directory}/bpf/pilus/maps`);
    const lostInKernel = () =>
      [...source.lost.entries()].flatMap(([, cpus]) => cpus)
        .reduce((sum, lost) => sum + Number(lost), 0);

    /** Sends events and says what became of them. `limit`: of those that arrive, a second. */
    const measure = async (name: string, limit?: number, monitor?: Monitor) => {
      const rate = (limit ?? 0) * 1.1;
      const before = {
        seen: (await node.status()).events.seen,
        lost: lostInKernel(),
        flows: monitor?.flows ?? 0,
        cpu: cpuSeconds(node.agentPid!),
      };
      const start = performance.now();
      const sent = await send(source, rate, limit === undefined ? 200_000 : 0);
      const arrived = () => monitor ? monitor.flows - before.flows : 0;
      while (monitor && arrived() < sent && performance.now() - start < 1200 * EVENT_SECONDS) {
        await delay(5);
      }
      const seconds = (performance.now() - start) / 1000;
      await delay(200);
      const cpu = cpuSeconds(node.agentPid!) - before.cpu;
      const seen = (await node.status()).events.seen - before.seen;
      const lost = lostInKernel() - before.lost;
      if (limit !== undefined) {
        const value = (monitor ? arrived() : seen) / seconds;
        report(name, "rate", value, "/s", { limit, is: "least" });
        report(name, "CPU", 100 * cpu / seconds, "%");
      }
      report(name, "lost", 100 * lost / sent, "%");
      report(name, "neither seen nor lost", Math.abs(sent - seen - lost), "", { limit: 0 });
      if (monitor) {
        const rows = await node.client.call<MetricRow[]>("/v1/metrics");
        const missed = rows.filter((row) => row.name.endsWith("events_missed_total"))
          .reduce((sum, { value }) => sum + value, 0);
        report(name, "missed", 100 * missed / sent, "%");
        report(name, "neither told nor missed", Math.abs(seen - arrived() - missed), "", {
          limit: 0,
        });
      }
    };
    await measure("events, counted", DRAINED_PER_SECOND);
    {
      using monitor = await Monitor.open(node.socket);
      await delay(500);
      await measure("events, as flows to a monitor", DECODED_PER_SECOND, monitor);
    }
    await measure("events, bursts of 200,000");
  });
}

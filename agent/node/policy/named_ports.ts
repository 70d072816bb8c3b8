/** The named ports of the pods of each identity. */

import type { Change } from "../../core/table.ts";
import type { RemoteAddress } from "../../cluster/rows.ts";
import type { NamedPort } from "../../kubernetes/resources.ts";

/** See the module. */
export class NamedPortsByIdentity {
  /** By identity and text of a port, the port and how many pods have it. */
  #ports = new Map<number, Map<string, { port: NamedPort; count: number }>>();

  /** Returns the identities whose ports may differ now. */
  apply(change: Change<RemoteAddress>): string[] {
    const before = change.kind === "added" ? undefined : partsOf(change.previous);
    const after = change.kind === "deleted" ? undefined : partsOf(change.row);
    for (const { name, port } of before?.ports ?? []) this.#count(before!.identity, name, port, -1);
    for (const { name, port } of after?.ports ?? []) this.#count(after!.identity, name, port, 1);
    return [before, after].filter((parts) => parts && parts.ports.length > 0)
      .map((parts) => String(parts!.identity));
  }

  /** In the order of their names; undefined when there are none. */
  get(identity: number): NamedPort[] | undefined {
    const ports = this.#ports.get(identity);
    return ports &&
      [...ports].sort(([a], [b]) => a < b ? -1 : 1).map(([, { port }]) => port);
  }

  #count(identity: number, name: string, port: NamedPort, by: 1 | -1): void {
    let ports = this.#ports.get(identity);
    if (!ports) this.#ports.set(identity, ports = new Map());
    const count = (ports.get(name)?.count ?? 0) + by;
    if (count > 0) ports.set(name, { port, count });
    else ports.delete(name);
    if (ports.size === 0) this.#ports.delete(identity);
  }
}

function partsOf({ identity, namedPorts }: RemoteAddress) {
  return {
    identity,
    ports: namedPorts.map((port) => ({ name: `${port.name}/${port.protocol}/${port.port}`, port })),
  };
}

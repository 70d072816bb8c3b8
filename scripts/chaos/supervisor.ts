/** Starts agents that have ended by themselves again, as a node's service manager does. */

import type { LabNode } from "../../cli/lab/lab.ts";

const EACH_MS = 200;

/** Looks after the agents of these nodes until it is disposed of. */
export function supervise(nodes: readonly LabNode[]): Disposable {
  const timer = setInterval(() => {
    for (const node of nodes) {
      if (node.agentHasEnded) node.startAgent();
    }
  }, EACH_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

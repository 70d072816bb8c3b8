/**
 * One queue for table notifications and derivations: whatever a burst of changes causes runs in one
 * microtask, inputs before what is derived from them, each task once however often it was asked for.
 */

interface Task {
  level: number;
  run: () => void;
}

const queue = new Map<() => void, Task>();
let waiting: PromiseWithResolvers<void> | undefined;

function next(): Task | undefined {
  let first: Task | undefined;
  for (const task of queue.values()) {
    if (!first || task.level < first.level) first = task;
  }
  return first;
}

function drain(): void {
  for (let task = next(); task; task = next()) {
    queue.delete(task.run);
    try {
      task.run();
    } catch (error) {
      reportError(error);
    }
  }
  waiting?.resolve();
  waiting = undefined;
}

/** Runs `run` soon, after every task of a lower level; asking again before it ran changes nothing. */
export function schedule(level: number, run: () => void): void {
  if (queue.has(run)) return;
  if (!waiting) {
    waiting = Promise.withResolvers();
    queueMicrotask(drain);
  }
  queue.set(run, { level, run });
}

/** Resolves when all changes made up to now, and what is derived from them, have been delivered. */
export function settled(): Promise<void> {
  return waiting?.promise ?? Promise.resolve();
}

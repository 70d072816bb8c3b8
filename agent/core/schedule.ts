/**
 * One queue for table notifications and derivations: whatever a burst of changes causes runs in one
 * microtask, inputs before what is derived from them, each task once however often it was asked for.
 * What takes longer than a slice of time goes on after other work.
 */

import { TimeSlice } from "./time_slice.ts";

/** Work that leaves off when the slice is over must have asked to be run again. */
export type Work = (slice: TimeSlice) => void;

interface Task {
  level: number;
  run: Work;
}

const queue = new Map<Work, Task>();
let waiting: PromiseWithResolvers<void> | undefined;

function next(): Task | undefined {
  let first: Task | undefined;
  for (const task of queue.values()) {
    if (!first || task.level < first.level) first = task;
  }
  return first;
}

function drain(): void {
  const slice = new TimeSlice();
  for (let task = next(); task; task = next()) {
    if (slice.over) {
      setTimeout(drain, 0);
      return;
    }
    queue.delete(task.run);
    try {
      task.run(slice);
    } catch (error) {
      reportError(error);
    }
  }
  waiting?.resolve();
  waiting = undefined;
}

/** Runs `run` soon, after every task of a lower level; asking again before it ran changes nothing. */
export function schedule(level: number, run: Work): void {
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

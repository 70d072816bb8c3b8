/** Reads manifests: small ones at once, the others on threads of their own. */

import type { Timer } from "../../core/timer.ts";
import { Interner } from "../../kubernetes/interner.ts";
import {
  type Manifest,
  type ManifestResource,
  parseJsonManifest,
  parseManifest,
} from "../../kubernetes/manifest.ts";
import type { ParseAnswer, ParseRequest } from "./parse_worker.ts";

/** YAML of so many characters is read at once: the worst of it takes some 15 ms. */
const SMALL_YAML = 2 * 1024;

/** JSON without a fault takes a fraction of that. */
const SMALL_JSON = 16 * 1024;

/** Threads at the same time, so that one hostile file does not hold up the others. */
const MAX_THREADS = 2;

/** Milliseconds that one text may take. */
const TIME_LIMIT_MS = 30_000;

/** Milliseconds after which a thread that has nothing to do ends: it weighs some 20 MB. */
const IDLE_MS = 5_000;

/** The worker stands beside the bundle in the compiled program. */
const WORKER = new URL(
  Deno.build.standalone ? "./parse_worker.js" : "./parse_worker.ts",
  import.meta.url,
);

/** See the module. Disposing ends the threads; what they are reading then never comes. */
export class ManifestReader implements Disposable {
  /** Threads that there are, and those that have nothing to do. */
  readonly #threads = new Set<Worker>();
  readonly #idle: Worker[] = [];
  /** Texts that wait for a thread. */
  readonly #waiting: ((thread: Worker) => void)[] = [];
  #idleTimer: Timer | undefined;
  /** Texts that threads were given. */
  #texts = 0;

  /** The manifest when the text is small, else undefined. Never throws. */
  readSmall(text: string): Manifest | undefined {
    if (text.length <= SMALL_YAML) return parseManifest(text);
    return text.length <= SMALL_JSON ? parseJsonManifest(text) : undefined;
  }

  /** Never rejects: what is wrong is among the problems. `signal` ends the reading of what is not wanted any more. */
  async read(text: string, signal: AbortSignal): Promise<Manifest> {
    const thread = await this.#take();
    const { promise, resolve } = Promise.withResolvers<Manifest>();
    const resources: ManifestResource[] = [];
    const interner = new Interner();
    const number = ++this.#texts;
    const ask = (request: ParseRequest) => thread.postMessage(request);
    const fail = (message: string) => {
      this.#end(thread);
      const problems = [{ line: 1, message }];
      resolve({ resources: [], problems, warnings: [], ignored: new Map() });
    };
    const timer = setTimeout(
      () => fail(`takes longer than ${TIME_LIMIT_MS / 1000} s to read; make it several files`),
      TIME_LIMIT_MS,
    );
    thread.onmessage = ({ data }: MessageEvent<ParseAnswer>) => {
      if ("rest" in data) {
        this.#give(thread);
        resolve({ resources, ...data.rest });
      } else {
        const part = JSON.parse(data.resources) as ManifestResource[];
        for (const entry of part) {
          // one that is as large as many others would take too long at once
          const resource = part.length > 1 ? interner.intern(entry.resource) : entry.resource;
          resources.push({ ...entry, resource } as ManifestResource);
        }
        // the thread may be gone by then
        setTimeout(() => ask({ number }), 0);
      }
    };
    thread.onerror = (event) => {
      event.preventDefault();
      fail(`cannot be read: ${event.message}`);
    };
    const stop = () => fail("is not wanted any more");
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    else ask({ number, text });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  #take(): Promise<Worker> {
    clearTimeout(this.#idleTimer);
    const thread = this.#idle.pop();
    if (thread) return Promise.resolve(thread);
    if (this.#threads.size < MAX_THREADS) return Promise.resolve(this.#start());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #start(): Worker {
    const thread = new Worker(WORKER, { type: "module" });
    this.#threads.add(thread);
    return thread;
  }

  #give(thread: Worker): void {
    const next = this.#waiting.shift();
    if (next) return next(thread);
    this.#idle.push(thread);
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      for (const idle of this.#idle.splice(0)) this.#end(idle);
    }, IDLE_MS);
  }

  #end(thread: Worker): void {
    thread.terminate();
    this.#threads.delete(thread);
    this.#waiting.shift()?.(this.#start());
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#idleTimer);
    this.#waiting.length = 0;
    for (const thread of this.#threads) this.#end(thread);
  }
}

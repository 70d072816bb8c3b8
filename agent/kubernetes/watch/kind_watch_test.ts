/** The cases are what list and watch clients were reported to get wrong. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { serveHttp, streamOf } from "../client/_test_server.ts";
import { ApiClient } from "../client/api_client.ts";
import { Backoff } from "./backoff.ts";
import { KindWatch, type WatchChange, type WatchTiming } from "./kind_watch.ts";

const object = (text: string) => {
  const [name = "", resourceVersion = ""] = text.split("@");
  return { metadata: { name, resourceVersion } };
};
const event = (type: string, text: string) => JSON.stringify({ type, object: object(text) }) + "\n";
const added = (text: string) => event("ADDED", text);
const modified = (text: string) => event("MODIFIED", text);
const deleted = (text: string) => event("DELETED", text);
const bookmark = (resourceVersion: string, annotations = {}) =>
  JSON.stringify({ type: "BOOKMARK", object: { metadata: { resourceVersion, annotations } } }) +
  "\n";
const end = (version: string) => bookmark(version, { "k8s.io/initial-events-end": "true" });
const failed = (code: number, more: object = {}) =>
  JSON.stringify({ type: "ERROR", object: { kind: "Status", code, message: "why", ...more } }) +
  "\n";

const open = (...texts: string[]) => () => new Response(streamOf(texts, "open"));
const closed = (...texts: string[]) => () => new Response(streamOf(texts, "close"));
const broken = (...texts: string[]) => () => new Response(streamOf(texts, "break"));
/** The second text comes late. */
const slowly = (first: string, second: string) => () => {
  const text = (given: string) => new TextEncoder().encode(given);
  return new Response(
    new ReadableStream({
      async start(controller) {
        controller.enqueue(text(first));
        await new Promise((resolve) => setTimeout(resolve, 600));
        controller.enqueue(text(second));
      },
    }),
  );
};
const status = (code: number, more: object = {}) => () =>
  new Response(JSON.stringify({ kind: "Status", code, message: "why", ...more }), { status: code });
const page = (version: string, items: string[], next?: string) => () =>
  Response.json({
    items: items.map(object),
    metadata: { resourceVersion: version, ...(next ? { continue: next } : {}) },
  });
const ok = () => new Response("ok");
const tooLarge = { details: { causes: [{ reason: "ResourceVersionTooLarge" }] } };

/** What no text can be made of. */
const ODD = { name: "a", resourceVersion: "6", namespace: { toString: 1, valueOf: 1 } };

type Answer = () => Response;

/** A request in few words. */
function wordsOf(url: URL): string {
  if (!url.pathname.startsWith("/apis/")) return url.pathname.slice(1);
  assertEquals(url.pathname, "/apis/example.com/v1/things");
  const query = url.searchParams;
  assertEquals(query.get("labelSelector"), "!headless");
  if (query.get("watch") !== "true") {
    const next = query.get("continue");
    const limit = query.get("limit");
    return `list${limit === "500" ? "" : limit ?? " all"}${next ? ` ${next}` : ""}`;
  }
  assertEquals(query.get("allowWatchBookmarks"), "true");
  const version = query.get("resourceVersion");
  assertEquals(query.get("sendInitialEvents"), version === null ? "true" : null);
  assertEquals(query.get("resourceVersionMatch"), version === null ? "NotOlderThan" : null);
  return version === null ? "watch" : `watch ${version}`;
}

function changeWords(change: WatchChange): string {
  if (!("object" in change)) return change.type;
  const { name, resourceVersion } = change.object.metadata;
  return `${change.type === "gone" ? "-" : "+"}${name}@${resourceVersion}`;
}

interface Case {
  name: string;
  /** By turn; the last is given again. */
  answers: Answer[];
  /** What is asked, and what is said of it, in order. */
  requests: string[];
  changes: string[];
  /** Part of the status' error at the end. */
  error?: string;
  optional?: boolean;
  timing?: Partial<WatchTiming>;
}

const CASES: Case[] = [
  {
    name: "what there is comes with the watch where the server sends it",
    answers: [open(added("a@1"), added("b@4"), end("5"), modified("a@6"), deleted("b@7"))],
    requests: ["watch"],
    changes: ["list", "+a@1", "+b@4", "listed", "+a@6", "-b@7"],
  },
  {
    name: "a watch that ended goes on from the last event, without a list",
    answers: [closed(end("5"), modified("a@6")), page("9", []), open(modified("a@8"))],
    requests: ["watch", "list1", "watch 6"],
    changes: ["list", "listed", "+a@6", "+a@8"],
  },
  {
    name: "a bookmark is as far as the watch has come",
    answers: [broken(end("5"), bookmark("70")), page("90", []), open(modified("a@80"))],
    requests: ["watch", "list1", "watch 70"],
    changes: ["list", "listed", "+a@80"],
  },
  {
    name: "a connection without a word is left, and the watch goes on",
    timing: { silence: 300, listSilence: 300 },
    answers: [open(end("5")), page("9", []), open(modified("a@8"), bookmark("9"))],
    requests: ["watch", "list1", "watch 5"],
    changes: ["list", "listed", "+a@8"],
  },
  {
    name: "once what there is has come, nothing may come for longer",
    timing: { listSilence: 300, silence: 10_000 },
    answers: [slowly(end("5"), modified("a@8"))],
    requests: ["watch"],
    changes: ["list", "listed", "+a@8"],
  },
  {
    name: "410 as an event of a watch: all anew",
    answers: [closed(end("5"), failed(410)), open(added("b@9"), end("9"))],
    requests: ["watch", "watch"],
    changes: ["list", "listed", "list", "+b@9", "listed"],
  },
  {
    name: "410 as the status of a watch: all anew",
    answers: [closed(end("5")), page("9", []), status(410), open(added("b@9"), end("9"))],
    requests: ["watch", "list1", "watch 5", "watch"],
    changes: ["list", "listed", "list", "+b@9", "listed"],
  },
  {
    name: "a list that breaks off says nothing of what is gone",
    answers: [broken(added("a@1")), open(added("b@4"), end("5"))],
    requests: ["watch", "watch"],
    changes: ["list", "+a@1", "list", "+b@4", "listed"],
  },
  {
    name: "a server that does not send what there is: a list, and a watch from it",
    answers: [status(422), page("5", ["a@1"]), open(modified("a@6"))],
    requests: ["watch", "list", "watch 5"],
    changes: ["list", "list", "+a@1", "listed", "+a@6"],
  },
  {
    name: "a server that never says where what there is ends",
    timing: { listSilence: 300 },
    answers: [open(added("a@1")), page("5", ["a@1"]), open(modified("a@6"))],
    requests: ["watch", "list", "watch 5"],
    changes: ["list", "+a@1", "list", "+a@1", "listed", "+a@6"],
  },
  {
    name: "a bookmark without the mark of the end is not the end",
    answers: [open(added("a@1"), bookmark("4")), page("5", ["a@1"]), open(modified("a@6"))],
    requests: ["watch", "list", "watch 5"],
    changes: ["list", "+a@1", "list", "+a@1", "listed", "+a@6"],
  },
  {
    name: "a list comes in pages",
    answers: [status(400), page("5", ["a@1"], "x"), page("5", ["b@2"]), open()],
    requests: ["watch", "list", "list x", "watch 5"],
    changes: ["list", "list", "+a@1", "+b@2", "listed"],
  },
  {
    name: "pages that ran out: all at once",
    answers: [status(400), page("5", ["a@1"], "x"), status(410), page("7", ["b@2"]), open()],
    requests: ["watch", "list", "list x", "list all", "watch 7"],
    changes: ["list", "list", "+a@1", "list", "+b@2", "listed"],
  },
  {
    name: "all at once that runs out, too, is asked for later, and named",
    answers: [status(400), page("5", [], "x"), status(410), page("7", [], "y"), status(410)],
    requests: ["watch", "list", "list x", "list all", "list all y", "list"],
    changes: ["list", "list", "list", "list"],
    error: "list things: the resource version is too old",
  },
  {
    name: "pages that lead to themselves are no list",
    answers: [status(400), page("5", ["a@1"], "x"), page("5", ["b@2"], "x")],
    requests: ["watch", "list", "list x", "list"],
    changes: ["list", "list", "+a@1", "+b@2", "list"],
    error: "the pages of the list lead to themselves",
  },
  {
    name: "an object whose namespace is no name: all anew",
    answers: [
      open(end("5"), JSON.stringify({ type: "ADDED", object: { metadata: ODD } }) + "\n"),
      open(end("9")),
    ],
    requests: ["watch", "watch"],
    changes: ["list", "listed", "list", "listed"],
  },
  {
    name: "what is no event: all anew",
    answers: [open(end("5"), "{]\n"), open(added("b@9"), end("9"))],
    requests: ["watch", "watch"],
    changes: ["list", "listed", "list", "+b@9", "listed"],
  },
  {
    name: "an object without a version: all anew",
    answers: [open(end("5"), '{"type":"ADDED","object":{}}\n'), open(end("9"))],
    requests: ["watch", "watch"],
    changes: ["list", "listed", "list", "listed"],
  },
  {
    name: "a server that is behind is given time, then its state is taken",
    answers: [
      ...[closed(end("5")), page("5", []), closed(failed(504, tooLarge)), page("5", [])],
      ...[closed(failed(504, tooLarge)), page("5", []), status(504, tooLarge), open(end("4"))],
    ],
    requests: ["watch", "list1", "watch 5", "list1", "watch 5", "list1", "watch 5", "watch"],
    changes: ["list", "listed", "list", "listed"],
  },
  {
    name: "a server that was put back to an older state: all anew",
    answers: [closed(end("1200")), page("1001", ["b@1001"]), open(added("b@1001"), end("1001"))],
    requests: ["watch", "list1", "watch"],
    changes: ["list", "listed", "list", "+b@1001", "listed"],
  },
  {
    name: "events from before our version: all anew",
    answers: [open(end("1200"), modified("a@1001")), open(added("b@1001"), end("1001"))],
    requests: ["watch", "watch"],
    changes: ["list", "listed", "list", "+b@1001", "listed"],
  },
  {
    name: "a kind that the server does not have, and then has",
    optional: true,
    answers: [
      ...[status(404), ok, status(404), status(404), status(503)],
      open(added("a@1"), end("5")),
    ],
    requests: ["watch", "readyz", "list1", "list1", "list1", "watch"],
    changes: ["list", "absent", "list", "+a@1", "listed"],
  },
  {
    name: "a kind that a server does not have yet, as it starts, is not gone",
    optional: true,
    answers: [
      ...[closed(end("5")), page("5", []), status(404), status(500)],
      ...[page("5", []), open(modified("a@6"))],
    ],
    requests: ["watch", "list1", "watch 5", "readyz", "list1", "watch 5"],
    changes: ["list", "listed", "+a@6"],
  },
  {
    name: "a kind whose server cannot be asked whether it has it",
    optional: true,
    answers: [status(404), ok, status(503), open(end("5"))],
    requests: ["watch", "readyz", "list1", "watch"],
    changes: ["list", "list", "listed"],
  },
  {
    name: "a kind that every server has is not gone, whatever one says",
    answers: [status(404)],
    requests: ["watch", "watch"],
    changes: ["list", "list"],
    error: "does not have it",
  },
  {
    name: "what is not allowed is asked again, and named",
    answers: [status(403)],
    requests: ["watch", "watch"],
    changes: ["list", "list"],
    error: 'grant it: a ClusterRole with {apiGroups: ["example.com"], resources: ["things"]',
  },
];

for (const { name, answers, requests, changes, error, optional, timing } of CASES) {
  Deno.test(`KindWatch: ${name}`, async () => {
    const asked: string[] = [];
    const found: string[] = [];
    const stop = new AbortController();
    const check = () => {
      if (found.length >= changes.length && asked.length >= requests.length) stop.abort();
    };
    await using server = serveHttp((_, url) => {
      const answer = answers[Math.min(asked.length, answers.length - 1)]!;
      asked.push(wordsOf(url));
      check();
      return answer();
    });
    const access = () => ({ servers: [server.url], origin: "test" });
    using client = new ApiClient({ access, userAgent: "pilus/test" });
    const watch = new KindWatch({
      client,
      kind: {
        ...{ kind: "Thing", apiVersion: "example.com/v1", resource: "things" },
        ...{ labelSelector: "!headless", optional: optional ?? false },
      },
      signal: stop.signal,
      timing: {
        ...{ silence: 10_000, listSilence: 10_000, stable: 1000, absent: 1 },
        ...{ firstBackoff: 1, mostBackoff: 8, mostResumeBackoff: 4, ...timing },
      },
    });
    // what does not come is missing then
    const limit = setTimeout(() => stop.abort(), 20_000);
    for await (const change of watch.changes()) {
      found.push(changeWords(change));
      check();
    }
    clearTimeout(limit);
    assertEquals(found.slice(0, changes.length), changes);
    assertEquals(asked.slice(0, requests.length), requests);
    if (error) assertStringIncludes(watch.status.error ?? "", error);
  });
}

Deno.test("Backoff grows to its limit, is never the same for two, and adds what the server asks", () => {
  const least = new Backoff(100, () => 0), most = new Backoff(100, () => 1);
  assertEquals([1, 2, 3, 4, 5].map(() => least.next(1000)), [50, 100, 200, 400, 500]);
  assertEquals([1, 2, 3, 4, 5].map(() => most.next(1000)), [100, 200, 400, 800, 1000]);
  assertEquals(most.next(1000, 7000), 8000);
  most.reset();
  assertEquals(most.next(1000), 100);
  // a limit that is lower for a while does not take away what has grown
  assertEquals([most.next(50), most.next(1000)], [50, 200]);
});

/** The verdict of a resolved policy about a connection. */

import type { Direction } from "./cookies.ts";
import type { PolicyEntry, ResolvedPolicy } from "./resolve.ts";

/** A connection's first packet as a policy sees it. */
export interface PolicyQuery {
  /** Of the other side. */
  identity: number;
  direction: Direction;
  protocol: number;
  /** Of the responder; the type for ICMP. */
  port: number;
}

/** The verdict and what decided it. */
export interface PolicyVerdict {
  verdict: "allow" | "deny";
  cookie: number;
  /** Undefined when no entry matched. */
  entry: PolicyEntry | undefined;
}

/**
 * The kernel's algorithm. Among all entries of the direction whose identity is the query's or 0,
 * whose protocol is the query's or 0, and whose port prefix holds the query's port, the highest
 * precedence wins; then an entry with a protocol over one for any; then the longer port prefix; then
 * the specific identity. When none matches it is denied if the direction is enforced.
 */
export function evaluate(policy: ResolvedPolicy, query: PolicyQuery): PolicyVerdict {
  let best: PolicyEntry | undefined;
  for (const entry of policy.entries) {
    if (entry.direction !== query.direction) continue;
    if (entry.identity !== 0 && entry.identity !== query.identity) continue;
    if (entry.protocol !== 0 && entry.protocol !== query.protocol) continue;
    if ((entry.port ^ query.port) >>> (16 - entry.prefixLength) !== 0) continue;
    if (!best || beats(entry, best)) best = entry;
  }
  if (best) return { verdict: best.verdict, cookie: best.cookie, entry: best };
  const { enforced, defaultCookie } = policy[query.direction];
  return { verdict: enforced ? "deny" : "allow", cookie: defaultCookie, entry: undefined };
}

function beats(a: PolicyEntry, b: PolicyEntry): boolean {
  if (a.precedence !== b.precedence) return a.precedence > b.precedence;
  if ((a.protocol === 0) !== (b.protocol === 0)) return b.protocol === 0;
  if (a.prefixLength !== b.prefixLength) return a.prefixLength > b.prefixLength;
  return a.identity !== 0 && b.identity === 0;
}

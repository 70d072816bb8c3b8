// Types of the @std modules in use. The npm package that deno.json maps them to holds JavaScript
// alone; when the modules come from JSR, this file and its entry in deno.json go.

declare module "@std/assert" {
  export class AssertionError extends Error {}
  export function assert(expr: unknown, msg?: string): asserts expr;
  export function assertEquals<T>(actual: T, expected: T, msg?: string): void;
  export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;
  export function assertStrictEquals<T>(
    actual: unknown,
    expected: T,
    msg?: string,
  ): asserts actual is T;
  export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T>;
  export function assertGreater<T>(actual: T, expected: T, msg?: string): void;
  export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void;
  export function assertLess<T>(actual: T, expected: T, msg?: string): void;
  export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void;
  // deno-lint-ignore no-explicit-any
  export type Constructor<E> = abstract new (...args: any[]) => E;
  export function assertInstanceOf<T>(
    actual: unknown,
    expected: Constructor<T>,
    msg?: string,
  ): asserts actual is T;
  export function assertMatch(actual: string, expected: RegExp, msg?: string): void;
  export function assertObjectMatch(
    actual: Record<PropertyKey, unknown>,
    expected: Record<PropertyKey, unknown>,
    msg?: string,
  ): void;
  export function assertStringIncludes(actual: string, expected: string, msg?: string): void;
  export function assertThrows<E extends Error = Error>(
    fn: () => unknown,
    error?: Constructor<E>,
    msgIncludes?: string,
    msg?: string,
  ): E;
  export function assertRejects<E extends Error = Error>(
    fn: () => PromiseLike<unknown>,
    error?: Constructor<E>,
    msgIncludes?: string,
    msg?: string,
  ): Promise<E>;
  export function fail(msg?: string): never;
}

declare module "@std/async" {
  export function delay(
    ms: number,
    options?: { signal?: AbortSignal; persistent?: boolean },
  ): Promise<void>;
  export function deadline<T>(
    p: Promise<T>,
    ms: number,
    options?: { signal?: AbortSignal },
  ): Promise<T>;
  export interface DebouncedFunction<A extends unknown[]> {
    (...args: A): void;
    clear(): void;
    flush(): void;
    readonly pending: boolean;
  }
  export function debounce<A extends unknown[]>(
    fn: (...args: A) => void,
    wait: number,
  ): DebouncedFunction<A>;
  export function retry<T>(
    fn: () => Promise<T> | T,
    options?: {
      multiplier?: number;
      maxTimeout?: number;
      maxAttempts?: number;
      minTimeout?: number;
      jitter?: number;
    },
  ): Promise<T>;
}

declare module "@std/bytes/concat" {
  export function concat(buffers: readonly Uint8Array[]): Uint8Array<ArrayBuffer>;
}

declare module "@std/cli/parse-args" {
  export interface ParseArgsOptions {
    boolean?: string[];
    string?: string[];
    collect?: string[];
    alias?: Record<string, string | string[]>;
    default?: Record<string, unknown>;
    negatable?: string[];
    stopEarly?: boolean;
    "--"?: boolean;
    unknown?: (arg: string, key?: string, value?: unknown) => unknown;
  }
  export type Args = Record<string, unknown> & { _: (string | number)[]; "--"?: string[] };
  export function parseArgs(args: string[], options?: ParseArgsOptions): Args;
}

declare module "@std/fmt/colors" {
  type Style = (s: string) => string;
  export const bold: Style,
    dim: Style,
    red: Style,
    green: Style,
    yellow: Style,
    cyan: Style,
    gray: Style;
  export function setColorEnabled(value: boolean): void;
  export function getColorEnabled(): boolean;
  export function stripAnsiCode(s: string): string;
}

declare module "@std/path" {
  export function join(...parts: string[]): string;
  export function dirname(path: string): string;
  export function basename(path: string, suffix?: string): string;
  export function extname(path: string): string;
  export function resolve(...parts: string[]): string;
  export function relative(from: string, to: string): string;
  export function fromFileUrl(url: string | URL): string;
  export function toFileUrl(path: string): URL;
}

declare module "@std/text/levenshtein-distance" {
  export function levenshteinDistance(a: string, b: string): number;
}

declare module "@std/yaml" {
  export interface ParseOptions {
    allowDuplicateKeys?: boolean;
    schema?: "core" | "default" | "failsafe" | "json" | "extended";
    onWarning?: (error: Error) => void;
  }
  export function parse(content: string, options?: ParseOptions): unknown;
  export function parseAll(content: string, options?: ParseOptions): unknown;
  export interface StringifyOptions {
    indent?: number;
    skipInvalid?: boolean;
    lineWidth?: number;
    sortKeys?: boolean;
    useAnchors?: boolean;
  }
  export function stringify(data: unknown, options?: StringifyOptions): string;
}

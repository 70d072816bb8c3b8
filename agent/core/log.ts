/** Log lines on stderr: time, level, message, then key=value. Secrets have no place here. */

import { printable } from "./printable.ts";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;

export type LogLevel = typeof LOG_LEVELS[number];

export type LogFields = Record<string, string | number | boolean | undefined>;

/** Writes lines of its level and above. */
export class Log {
  #level: number;

  constructor(level: LogLevel = "info") {
    this.#level = LOG_LEVELS.indexOf(level);
  }

  error(message: string, fields?: LogFields): void {
    this.#write("error", message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#write("warn", message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#write("info", message, fields);
  }

  debug(message: string, fields?: LogFields): void {
    this.#write("debug", message, fields);
  }

  #write(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (LOG_LEVELS.indexOf(level) > this.#level) return;
    const pairs = Object.entries(fields).filter(([, v]) => v !== undefined).map(([k, v]) =>
      `${k}=${quote(String(v))}`
    );
    console.error([new Date().toISOString(), level, printable(message), ...pairs].join(" "));
  }
}

/** As it is when it is one word, else as a JSON string: one event stays one line. */
function quote(value: string): string {
  return printable(/^[^\s"=]+$/.test(value) ? value : JSON.stringify(value));
}

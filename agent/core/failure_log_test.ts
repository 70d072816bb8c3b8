import { assertEquals } from "@std/assert";
import { FailureLog } from "./failure_log.ts";
import { Log } from "./log.ts";

Deno.test("FailureLog tells a failure once, and that it is over", () => {
  const lines: string[] = [];
  const log = new class extends Log {
    override warn(message: string, fields = {}): void {
      lines.push(`warn ${message} ${Object.values(fields)}`);
    }
    override info(message: string): void {
      lines.push(`info ${message}`);
    }
  }();
  const failures = new FailureLog(log, "store");
  failures.recovered();
  for (let i = 0; i < 3; i++) failures.failed(new Error(`refused by port ${i}`));
  failures.failed("other");
  failures.recovered();
  failures.recovered();
  failures.failed(new Error("refused by port 9"));
  assertEquals(lines, [
    "warn store refused by port 0",
    "warn store other",
    "info store: well again",
    "warn store refused by port 9",
  ]);
});

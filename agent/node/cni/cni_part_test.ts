import { assert, assertEquals, assertMatch } from "@std/assert";
import { Log } from "../../core/log.ts";
import { namesIn } from "../../core/missing_files.ts";
import type { EndpointManager } from "../endpoints/endpoint_manager.ts";
import { cniPart } from "./cni_part.ts";

const run = (...args: string[]) => {
  assert(new Deno.Command(args[0]!, { args: args.slice(1) }).outputSync().success, args.join(" "));
};

Deno.test("cniPart() says what it cannot install, tries again, and puts back what has gone", async (t) => {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-cni-part-" });
  const cniBinDir = `${directory}/bin`, cniConfDir = `${directory}/net.d`;
  const written = () => [...namesIn(cniBinDir), ...namesIn(cniConfDir)];
  const all = ["pilus", "05-pilus.conflist"];
  Deno.mkdirSync(cniBinDir);
  run("mount", "-t", "tmpfs", "-o", "ro", "none", cniBinDir);
  const log = new Log("error");
  const errors: string[] = [];
  log.error = (message) => void errors.push(message);
  const part = cniPart({
    config: { cniBinDir, cniConfDir, stateDir: `${directory}/state`, repairInterval: 0.01 },
    log,
    manager: undefined as unknown as EndpointManager, // no runtime asks
    health: () => ({ ok: true }),
  });
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  try {
    await t.step("no configuration without a plugin", async () => {
      assertMatch(part.health!() ?? "", /not there yet/, "before it is offered");
      await part.offer(`${directory}/pilus.sock`);
      assertMatch(part.health!() ?? "", /^pods cannot be added: .*Read-only file system/);
      assertEquals(written(), []);
    });
    await t.step("one that may not be run is none", async () => {
      run("mount", "-o", "remount,rw,noexec", cniBinDir);
      await until(() => /cannot be run/.test(part.health!() ?? ""));
      assertEquals(written(), ["pilus"]);
    });
    await t.step("when it can be, all is well", async () => {
      run("mount", "-o", "remount,rw,exec", cniBinDir);
      await until(() => part.health!() === undefined);
      assertEquals(written(), all);
    });
    await t.step("what somebody removes or replaces comes back", async () => {
      Deno.removeSync(`${cniBinDir}/pilus`);
      Deno.removeSync(`${cniConfDir}/05-pilus.conflist`);
      await until(() => written().length === 2);
      Deno.writeTextFileSync(`${cniBinDir}/pilus`, "another's");
      await until(() => Deno.statSync(`${cniBinDir}/pilus`).size > 1000);
      assertEquals(written(), all);
    });
    assertEquals(errors.length, 2); // said once, not with each try
  } finally {
    await part[Symbol.asyncDispose]();
    run("umount", cniBinDir);
    Deno.removeSync(directory, { recursive: true });
  }
});

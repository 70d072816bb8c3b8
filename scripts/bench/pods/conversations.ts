/** What the ends of a pair say to each other. */

import type { Setup } from "./setups.ts";

/** A kind of conversation; see traffic.c. */
export interface Mode {
  name: string;
  words: readonly [mode: string, size: number];
  unit: string;
  /** Left out where both ends share a CPU. */
  apart?: boolean;
}

/** Operations a second (or Gbit/s), and CPU microseconds an operation. */
export async function measure(
  traffic: string,
  seconds: number,
  { client, server, address, cgroup }: Setup,
  { words: [mode, size], unit }: Mode,
  [clientCpu, serverCpu]: readonly [number, number],
): Promise<[rate: number, cpu: number]> {
  const { success, stdout, stderr } = await new Deno.Command(traffic, {
    args: [
      ...[mode, String(size), String(seconds), client.netns, server.netns, address],
      ...[String(clientCpu), String(serverCpu)],
      ...(cgroup ? [cgroup] : []),
    ],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const { operations, bytes, seconds: took, cpu } = JSON.parse(new TextDecoder().decode(stdout));
  const rate = unit === "Gbit/s" ? bytes * 8 / 1e9 / took : operations / took;
  return [rate, cpu / operations * 1e6];
}

/** nginx in every server's namespace, with what ends it. */
export async function startNginx(
  setups: readonly Setup[],
  directory: string,
): Promise<AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  for (const [i, { server, cgroup }] of setups.entries()) {
    const own = `${directory}/nginx-${i}`;
    Deno.mkdirSync(own);
    Deno.writeTextFileSync(
      `${own}/nginx.conf`,
      `daemon off; master_process off; pid ${own}/pid; error_log ${own}/error.log;
      events { worker_connections 256; }
      http {
        access_log off; client_body_temp_path ${own}/b; proxy_temp_path ${own}/p;
        fastcgi_temp_path ${own}/f; uwsgi_temp_path ${own}/u; scgi_temp_path ${own}/s;
        keepalive_requests 1000000000;
        server { listen 8088; location / { return 200 "hello from the pod\\n"; } }
      }`,
    );
    const child = server.spawn(["nginx", "-c", `${own}/nginx.conf`, "-p", own], {
      cgroup: cgroup !== undefined,
    }, { stdout: "null", stderr: "null" });
    stack.defer(async () => {
      child.kill("SIGKILL");
      await child.status;
    });
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  return stack;
}

/** Requests a second. */
export async function requests(
  { client, address, cgroup }: Setup,
  cpu: number,
  seconds: number,
): Promise<number> {
  const words = [
    "taskset",
    "-c",
    String(cpu),
    "wrk",
    "-t1",
    "-c16",
    `-d${Math.max(1, Math.round(seconds))}`,
  ];
  const { stdout, stderr, code } = await client.exec([...words, `http://${address}:8088/`], {
    cgroup: cgroup !== undefined,
  });
  const rate = /Requests\/sec:\s+([0-9.]+)/.exec(stdout)?.[1];
  if (code !== 0 || !rate || /Socket errors/.test(stdout)) {
    throw new Error(`wrk: ${stdout}${stderr}`);
  }
  return Number(rate);
}

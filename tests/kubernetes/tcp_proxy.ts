/** A proxy before a server, whose connections can be cut, or forgotten as a firewall does. */

/** See the module. */
export class TcpProxy implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #serving: Promise<void>;
  #connections: { ends: Deno.TcpConn[]; forgotten: boolean }[] = [];

  constructor(port: number) {
    this.#serving = this.#serve(port);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(port: number): Promise<void> {
    for await (const client of this.#listener) {
      try {
        const server = await Deno.connect({ hostname: "127.0.0.1", port });
        const connection = { ends: [client, server], forgotten: false };
        this.#connections.push(connection);
        void forward(client, server, connection);
        void forward(server, client, connection);
      } catch {
        client.close();
      }
    }
  }

  /** Ends all connections. */
  cut(): void {
    for (const { ends } of this.#connections) ends.forEach(close);
    this.#connections = [];
  }

  /** Nothing comes through the connections any more, and nobody is told. */
  forget(): void {
    for (const connection of this.#connections) connection.forgotten = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
    this.cut();
  }
}

async function forward(
  from: Deno.TcpConn,
  to: Deno.TcpConn,
  connection: { forgotten: boolean },
): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    for (;;) {
      const length = await from.read(buffer);
      if (length === null) break;
      if (connection.forgotten) continue;
      for (let at = 0; at < length;) at += await to.write(buffer.subarray(at, length));
    }
  } catch { /* one of the two has gone */ }
  if (connection.forgotten) return;
  close(from);
  close(to);
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch { /* it is */ }
}

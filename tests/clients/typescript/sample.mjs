// A Node server on loopback, which counts what reaches it, the gate in front of it, and clients of either SDK. `sdk` is
// the SDK of the handshake era, `client` the one of both. They hand the gate sockets or pipes as Node makes them.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TOKEN = "typescript-client-credential";

export const MODERN = "2026-07-28";

// What the API got: method, path and body.
export const seen = [];
const upstream = createServer((request, response) => {
  assert.equal(request.headers.authorization, `Bearer ${TOKEN}`);
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    seen.push([request.method, request.url, Buffer.concat(chunks).toString()]);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ path: request.url }));
  });
});
await new Promise((listening) => upstream.listen(0, "127.0.0.1", listening));
const { port } = upstream.address();
export const base = `http://127.0.0.1:${port}`;

const home = mkdtempSync(join(tmpdir(), "typescript-client-"));
const policy = readFileSync(new URL("policy.toml", import.meta.url), "utf8").replace("PORT", port);
writeFileSync(join(home, "policy.toml"), policy, { mode: 0o600 });

const [which, mode] = process.argv.slice(2);
export const name = `typescript ${which} ${mode}`;
export const isModern = mode !== "legacy";
const SDKS = {
  sdk: async () => {
    const types = await import("@modelcontextprotocol/sdk/types.js");
    assert.ok(!types.SUPPORTED_PROTOCOL_VERSIONS.includes(MODERN), `this SDK speaks ${MODERN} now: drive it so too`);
    return {
      ...(await import("@modelcontextprotocol/sdk/client/index.js")),
      ...(await import("@modelcontextprotocol/sdk/client/stdio.js")),
      ...(await import("@modelcontextprotocol/sdk/shared/protocol.js")),
      onForm: (client, answer) =>
        client.setRequestHandler(types.ElicitRequestSchema, ({ params }, { signal }) => answer(params, signal)),
      call: (client, params, options) => client.callTool(params, types.CallToolResultSchema, options),
    };
  },
  client: async () => ({
    ...(await import("@modelcontextprotocol/client")),
    ...(await import("@modelcontextprotocol/client/stdio")),
    onForm: (client, answer) =>
      client.setRequestHandler("elicitation/create", ({ params }, { mcpReq }) => answer(params, mcpReq.signal)),
    call: (client, params, options) => client.callTool(params, options),
  }),
};
const { Client, StdioClientTransport, DEFAULT_REQUEST_TIMEOUT_MSEC, onForm, call } = await SDKS[which]();

// How long the SDK waits for an answer unless it is told otherwise, in milliseconds.
export const defaultTimeout = DEFAULT_REQUEST_TIMEOUT_MSEC;

// A client of a gate of its own. `answer` is called with each form and the signal that closes it.
export const connect = async ({ capabilities = {}, answer } = {}) => {
  const versionNegotiation = { mode: mode === MODERN ? { pin: MODERN } : mode };
  const client = new Client({ name: "portcullis-tests", version: "1.0.0" }, { capabilities, versionNegotiation });
  if (answer) onForm(client, answer);
  const transport = new StdioClientTransport({
    command: process.env.PORTCULLIS,
    args: ["serve", "--policy", join(home, "policy.toml"), "--state-dir", join(home, "state")],
    env: { SAMPLE_TOKEN: TOKEN, PORTCULLIS_LOG: "portcullis=warn" },
  });
  const sent = [];
  const send = transport.send.bind(transport);
  transport.send = (message, options) => (sent.push(message), send(message, options));
  let version;
  transport.setProtocolVersion = (negotiated) => (version = negotiated);
  await client.connect(transport);
  assert.equal(version === MODERN, isModern, version);
  return {
    // The messages that the client sent.
    sent,
    listTools: () => client.listTools(),
    call: (name, args, options) => call(client, { name, arguments: args }, options),
    close: () => client.close(),
  };
};

// The log's records of that kind, of all gates.
export const log = (kind) =>
  readdirSync(join(home, "state"))
    .filter((file) => file.endsWith(".jsonl"))
    .flatMap((file) => readFileSync(join(home, "state", file), "utf8").trim().split("\n"))
    .map((line) => JSON.parse(line))
    .filter((record) => record.kind === kind);

export const error = (result) => {
  assert.equal(result.isError, true, JSON.stringify(result));
  return JSON.parse(result.content[0].text).error;
};

export const end = () => {
  upstream.close();
  rmSync(home, { recursive: true });
};

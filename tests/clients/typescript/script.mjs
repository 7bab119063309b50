// Lists and calls the tools of a gate with a TypeScript SDK, over stdio.
// Usage: node script.mjs sdk|client, with the binary in $PORTCULLIS. `sdk` is the SDK of the
// handshake era, `client` the one of 2026-07-28. Both hand the gate sockets or pipes as Node
// makes them. The upstream is a Node server on loopback, which counts what reaches it.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TOKEN = "typescript-client-credential";
const policy = (port) => `version = 1
name = "sample"
[upstream]
base_url = "http://127.0.0.1:${port}/"
allow_http = true
[upstream.credential]
bearer = { env = "SAMPLE_TOKEN" }
[access]
writes = true
[[allow]]
id = "read"
methods = ["GET"]
paths = ["/items/**"]
[[allow]]
id = "label"
methods = ["PATCH"]
paths = ["/items/*/labels"]
confirm = "never"
[[allow]]
id = "remove"
methods = ["DELETE"]
paths = ["/items/*"]
`;

const seen = [];
const upstream = createServer((request, response) => {
  assert.equal(request.headers.authorization, `Bearer ${TOKEN}`);
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    seen.push({ method: request.method, path: request.url, body: Buffer.concat(chunks).toString() });
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ path: request.url }));
  });
});
await new Promise((listening) => upstream.listen(0, "127.0.0.1", listening));

const which = process.argv[2];
const load = {
  sdk: async () => ({
    ...(await import("@modelcontextprotocol/sdk/client/index.js")),
    ...(await import("@modelcontextprotocol/sdk/client/stdio.js")),
    options: {},
  }),
  client: async () => ({
    ...(await import("@modelcontextprotocol/client")),
    ...(await import("@modelcontextprotocol/client/stdio")),
    options: { versionNegotiation: { mode: { pin: "2026-07-28" } } },
  }),
};
const { Client, StdioClientTransport, options } = await load[which]();

const home = mkdtempSync(join(tmpdir(), "typescript-client-"));
writeFileSync(join(home, "policy.toml"), policy(upstream.address().port), { mode: 0o600 });
const client = new Client({ name: "portcullis-tests", version: "1.0.0" }, options);
await client.connect(
  new StdioClientTransport({
    command: process.env.PORTCULLIS,
    args: ["serve", "--policy", join(home, "policy.toml"), "--state-dir", join(home, "state")],
    env: { SAMPLE_TOKEN: TOKEN },
  }),
);

const call = (name, args) => client.callTool({ name, arguments: args });
const refused = async (name, args) => {
  const result = await call(name, args);
  assert.equal(result.isError, true);
  return JSON.parse(result.content[0].text).error.code;
};

const { tools } = await client.listTools();
assert.deepEqual(tools.map((tool) => tool.name), ["api_get", "api_send", "read_more"]);
assert.equal(tools[0].annotations.readOnlyHint, true);
assert.equal(tools[1].annotations.readOnlyHint, false);

const read = await call("api_get", { path: "/items/7", query: { q: "a&b" } });
assert.equal(JSON.parse(read.content[0].text).path, "/items/7?q=a%26b");
const write = await call("api_send", { method: "PATCH", path: "/items/7/labels", body: { a: 1 } });
assert.notEqual(write.isError, true);

assert.equal(await refused("api_get", { path: "/users/7" }), "denied");
assert.equal(await refused("api_get", { path: "/items/../users/7" }), "bad_request");
assert.equal(await refused("api_send", { method: "DELETE", path: "/items/7" }), "approval_required");

const many = await Promise.all([...Array(8).keys()].map((number) => call("api_get", { path: `/items/${number}` })));
many.forEach((result, number) => assert.equal(JSON.parse(result.content[0].text).path, `/items/${number}`));

await client.close();
upstream.close();
rmSync(home, { recursive: true });
assert.deepEqual(seen.map(({ method }) => method).sort(), [...Array(9).fill("GET"), "PATCH"]);
assert.equal(seen.find(({ method }) => method === "PATCH").body, '{"a":1}');
console.log(`typescript ${which}: lists, reads, writes, is refused`);

// Lists and calls the tools of a gate with a TypeScript SDK, over stdio.
// Usage: node calls.mjs sdk legacy | client legacy|auto|2026-07-28, with the binary in $PORTCULLIS.
import assert from "node:assert/strict";
import { connect, end, error, name, seen } from "./sample.mjs";

const { listTools, call, close } = await connect();

const { tools } = await listTools();
assert.deepEqual(tools.map((tool) => tool.name), ["api_get", "api_send", "read_more"]);
assert.equal(tools[0].annotations.readOnlyHint, true);
assert.equal(tools[1].annotations.readOnlyHint, false);

const read = await call("api_get", { path: "/items/7", query: { q: "a&b" } });
assert.equal(JSON.parse(read.content[0].text).path, "/items/7?q=a%26b");
const write = await call("api_send", { method: "PATCH", path: "/items/7/labels", body: { a: 1 } });
assert.notEqual(write.isError, true);

assert.equal(error(await call("api_get", { path: "/users/7" })).code, "denied");
assert.equal(error(await call("api_get", { path: "/items/../users/7" })).code, "bad_request");

const many = await Promise.all([...Array(8).keys()].map((number) => call("api_get", { path: `/items/${number}` })));
many.forEach((result, number) => assert.equal(JSON.parse(result.content[0].text).path, `/items/${number}`));

await close();
end();
assert.deepEqual(seen.map(([method]) => method).sort(), [...Array(9).fill("GET"), "PATCH"]);
assert.deepEqual(seen[1], ["PATCH", "/items/7/labels", '{"a":1}']);
console.log(`${name}: lists, reads, writes, is refused`);

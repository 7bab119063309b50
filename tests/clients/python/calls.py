"""Lists and calls the tools of a gate with the Python `mcp` SDK, over stdio.

Usage: calls.py legacy|auto|2026-07-28, with the binary in $PORTCULLIS.
"""

import json
import sys

import anyio
from mcp.client.client import Client
from sample import error, sample


async def session(mode: str, gate):
    async with Client(gate, mode=mode) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["api_get", "api_send", "read_more"], tools
        assert tools[0].annotations.read_only_hint and not tools[1].annotations.read_only_hint, tools

        read = await client.call_tool("api_get", {"path": "/items/7", "query": {"q": "a&b"}})
        assert not read.is_error and json.loads(read.content[0].text)["path"] == "/items/7?q=a%26b", read
        write = await client.call_tool("api_send", {"method": "PATCH", "path": "/items/7/labels", "body": {"a": 1}})
        assert not write.is_error, write

        assert error(await client.call_tool("api_get", {"path": "/users/7"}))["code"] == "denied"
        assert error(await client.call_tool("api_get", {"path": "/items/../users/7"}))["code"] == "bad_request"

        many = []
        async with anyio.create_task_group() as group:

            async def one(number):
                result = await client.call_tool("api_get", {"path": f"/items/{number}"})
                many.append(json.loads(result.content[0].text)["path"] == f"/items/{number}")

            for number in range(8):
                group.start_soon(one, number)
        assert many == [True] * 8, many


def main():
    mode = sys.argv[1]
    with sample() as api:
        anyio.run(session, mode, api.gate)
        assert sorted(method for method, _, _ in api.seen) == ["GET"] * 9 + ["PATCH"], api.seen
        assert api.seen[1] == ("PATCH", "/items/7/labels", b'{"a":1}'), api.seen
    print(f"python mcp {mode}: lists, reads, writes, is refused")


main()

"""A person approves held writes, or does not, in a client made of the Python `mcp` SDK, over stdio.

Usage: approvals.py legacy|auto|2026-07-28, with the binary in $PORTCULLIS.
"""

import re
import sys

import anyio
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitResult, ErrorData
from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY, REQUEST_TIMEOUT
from sample import error, sample

MODERN = "2026-07-28"
REMOVE = {"method": "DELETE", "path": "/items/7"}
REPLACE = {"method": "PUT", "path": "/items/blue", "body": {"name": "b", "n": 1.5}}
REMOVED = ("DELETE", "/items/7", b"")
REPLACED = ("PUT", "/items/blue", b'{"name":"b","n":1.5}')


def accept(**content):
    return ElicitResult(action="accept", content=content or None)


YES = accept(confirm=True)
DECLINE = ElicitResult(action="decline")
CANCEL = ElicitResult(action="cancel")
# Three refusals in a row would close writes.
REMOVALS = [DECLINE, accept(), YES, accept(confirm=False), accept(confirm="true"), YES, CANCEL, accept(yes=True), YES]
TYPED = accept(confirm="blue")
REPLACEMENTS = [YES, accept(confirm="Blue"), TYPED, accept(), DECLINE, TYPED]


class Person:
    """Gives one answer to every form: at once, after `pause` seconds, or (`None`) never. Keeps the forms."""

    def __init__(self):
        self.answer, self.pause, self.forms, self.closed = None, 0, [], 0

    async def __call__(self, _, form):
        self.forms.append(form)
        try:
            await anyio.sleep(self.pause if self.answer else 60)
        except anyio.get_cancelled_exc_class():
            self.closed += 1
            raise
        return self.answer


class Agent:
    """Calls through a client; says what came of it, how often the person was asked, and what the API got of it."""

    def __init__(self, client, person, api):
        self.client, self.person, self.api = client, person, api
        self.approved = []

    async def call(self, arguments, answer, **options):
        self.person.answer = answer
        asked, sent = len(self.person.forms), len(self.api.seen)
        try:
            result = await self.client.call_tool("api_send", arguments, **options)
        except MCPError as failed:
            result = failed
        return result, len(self.person.forms) - asked, self.api.seen[sent:]

    async def sends(self, arguments, yes, request, **options):
        result, asked, sent = await self.call(arguments, yes, **options)
        assert (asked, sent) == (1, [request]) and not result.is_error, (yes, asked, sent, result)
        self.approved.append(request)

    async def is_refused(self, arguments, no):
        result, asked, sent = await self.call(arguments, no)
        assert (asked, sent) == (1, []) and error(result)["code"] == "declined", (no, asked, sent, result)


async def answers(agent):
    """What goes out is what was approved, as often as it was."""
    for arguments, answers, yes, request in [
        (REMOVE, REMOVALS, YES, REMOVED),
        (REPLACE, REPLACEMENTS, TYPED, REPLACED),
    ]:
        for answer in answers:
            if answer is yes:
                await agent.sends(arguments, answer, request)
            else:
                await agent.is_refused(arguments, answer)


async def forms(agent):
    """What the person sees: the request, and one required field."""
    base = agent.api.base
    for arguments, kind, request in [
        (REMOVE, "boolean", f"DELETE {base}/items/7"),
        (REPLACE, "string", f"PUT {base}/items/blue"),
    ]:
        await agent.is_refused(arguments, DECLINE)
        form = agent.person.forms[-1]
        assert request in form.message, form.message
        schema = form.requested_schema
        assert schema["required"] == ["confirm"] and list(schema["properties"]) == ["confirm"], schema
        assert schema["properties"]["confirm"]["type"] == kind, schema
        assert "default" not in schema["properties"]["confirm"], "nothing is agreed to beforehand"
    await agent.sends(REMOVE, YES, REMOVED)


async def out_of_time(agent, modern):
    """The client's own timeout while the person thinks."""
    if modern:
        agent.person.pause = 1.5
        await agent.sends(REMOVE, YES, REMOVED, read_timeout_seconds=1)
        agent.person.pause = 0
        return "is not out of time while the person thinks"
    result, asked, sent = await agent.call(REMOVE, None, read_timeout_seconds=1)
    assert isinstance(result, MCPError) and result.code == REQUEST_TIMEOUT, result
    assert (asked, sent) == (1, []), (asked, sent)
    await until(lambda: agent.person.closed == 1)
    await agent.is_refused(REMOVE, DECLINE)
    before, anew = [question["code"] for question in agent.api.log("ask")[-2:]]
    assert before != anew, "the question went with its call"
    await agent.sends(REMOVE, YES, REMOVED)
    return "takes the call back when its timeout fires"


async def given_up(agent):
    """The client's program gives the call up while the person thinks."""
    person = agent.person
    asked, closed = len(person.forms), person.closed
    async with anyio.create_task_group() as group:
        group.start_soon(agent.call, REMOVE, None)
        await until(lambda: len(person.forms) == asked + 1)
        group.cancel_scope.cancel()
    await until(lambda: person.closed == closed + 1)
    await agent.sends(REMOVE, YES, REMOVED)


async def until(true):
    with anyio.fail_after(10):
        while not true():
            await anyio.sleep(0.01)


async def nobody(agent, modern):
    """Who cannot be asked in the client is asked at the desk, or nowhere."""
    result, asked, sent = await agent.call(REMOVE, None)
    refusal = error(result)
    code = refusal["approval"]["code"]
    assert (asked, sent, refusal["code"]) == (0, [], "approval_required"), (asked, sent, refusal)
    assert re.fullmatch("[A-Z2-9]{3}-[A-Z2-9]{3}", code) and code in refusal["message"], refusal
    result, asked, sent = await agent.call(REPLACE, None)
    assert (asked, sent) == (0, []), (asked, sent)
    if modern:
        assert isinstance(result, MCPError) and result.code == MISSING_REQUIRED_CLIENT_CAPABILITY, result
    else:
        assert error(result)["code"] == "approval_required" and "approval" not in error(result), result


async def broken(agent, modern):
    """A client that shows no form after all."""
    result, asked, sent = await agent.call(REMOVE, ErrorData(code=-32603, message="no screen"))
    assert (asked, sent) == (1, []), (asked, sent)
    assert isinstance(result, MCPError) if modern else error(result)["approval"]["code"], result


async def session(mode: str, api):
    modern = mode != "legacy"
    person = Person()
    async with Client(api.gate, mode=mode, elicitation_callback=person) as client:
        assert (client.protocol_version == MODERN) == modern, client.protocol_version
        agent = Agent(client, person, api)
        await forms(agent)
        await answers(agent)
        timeout = await out_of_time(agent, modern)
        await given_up(agent)
        await broken(agent, modern)
    async with Client(api.gate, mode=mode) as client:
        await nobody(Agent(client, person, api), modern)
    assert api.seen == agent.approved, api.seen
    taken_back = [record for record in api.log("question") if record.get("code") == "cancelled"]
    assert len(taken_back) == (0 if modern else 2), taken_back
    print(f"python mcp {mode}: approves, declines, {timeout}, is told where else to ask")


with sample() as sampled:
    anyio.run(session, sys.argv[1], sampled)

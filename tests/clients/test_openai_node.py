"""The official client for Node, over a real socket."""

import pytest

from tests.clients.conftest import run_node

pytestmark = [pytest.mark.clients, pytest.mark.slow]

HEAD = """
import assert from "node:assert/strict";
import OpenAI from "openai";
const client = new OpenAI({ baseURL: `${process.argv[1]}/v1`, apiKey: "none", maxRetries: 0 });
const model = "tercet-tiny";
const messages = [{ role: "user", content: "Tell me a story about a dog named Max." }];
const ask = { model, messages, seed: 7, max_completion_tokens: 24 };
"""


def run(program: str, url: str) -> None:
    assert run_node(f"{HEAD}{program}\nconsole.log('done')", url) == "done\n"


def test_an_answer_and_its_stream_are_the_same_text(url: str) -> None:
    program = """
const whole = await client.chat.completions.create(ask);
assert.equal(whole.usage.completion_tokens, 24);
assert.equal(whole.choices[0].finish_reason, "length");
let text = "", usage = null;
const streamed = { ...ask, stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create(streamed)) {
  text += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
assert.equal(text, whole.choices[0].message.content);
assert.equal(usage.completion_tokens, 24);
"""
    run(program, url)


def test_the_stream_helper_puts_an_answer_together(url: str) -> None:
    program = """
const stream = client.chat.completions.stream(ask);
const answer = await stream.finalChatCompletion();
assert.ok(answer.choices[0].message.content.length > 0);
"""
    run(program, url)


def test_json_by_a_schema(url: str) -> None:
    program = """
const schema = { type: "object", properties: { sky: { enum: ["blue", "grey"] } },
                 required: ["sky"], additionalProperties: false };
const answer = await client.chat.completions.create({ model, messages,
  response_format: { type: "json_schema", json_schema: { name: "weather", schema } } });
assert.ok(["blue", "grey"].includes(JSON.parse(answer.choices[0].message.content).sky));
"""
    run(program, url)


def test_completions_with_log_probabilities(url: str) -> None:
    program = """
const prompt = "Once upon a time";
const question = { model, prompt, max_tokens: 0, echo: true, logprobs: 1 };
const scored = await client.completions.create(question);
assert.equal(scored.choices[0].text, prompt);
assert.equal(scored.choices[0].logprobs.token_logprobs[0], null);
"""
    run(program, url)


def test_errors_are_of_their_classes(url: str) -> None:
    program = """
await assert.rejects(client.chat.completions.create({ ...ask, model: "gpt-4" }), (error) => {
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.equal(error.code, "model_not_found");
  assert.ok(error.requestID);
  return true;
});
await assert.rejects(client.chat.completions.create({ ...ask, temperature: 3 }), (error) => {
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.equal(error.param, "temperature");
  return true;
});
"""
    run(program, url)


def test_an_aborted_stream_ends_quietly(url: str) -> None:
    program = """
const stream = await client.chat.completions.create(
  { ...ask, max_completion_tokens: 1000, ignore_eos: true, stream: true });
let count = 0;
for await (const chunk of stream) if (++count === 3) break;
assert.equal(count, 3);
"""
    run(program, url)


def test_models(url: str) -> None:
    program = """
const names = [];
for await (const found of client.models.list()) names.push(found.id);
assert.deepEqual(names, [model]);
assert.equal((await client.models.retrieve(model)).owned_by, "tercet");
"""
    run(program, url)


def test_a_loop_of_tools(url: str) -> None:
    program = """
const parameters = { type: "object", properties: { city: { enum: ["Paris", "Rome"] } },
                     required: ["city"], additionalProperties: false };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
const first = await client.chat.completions.create({ ...ask, tools, tool_choice: "required",
  max_completion_tokens: 200, parallel_tool_calls: false });
assert.equal(first.choices[0].finish_reason, "tool_calls");
const { message } = first.choices[0];
assert.equal(message.tool_calls.length, 1);
assert.equal(message.tool_calls[0].function.name, "get_weather");
const { city } = JSON.parse(message.tool_calls[0].function.arguments);
assert.ok(["Paris", "Rome"].includes(city));
const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "Sunny." };
const second = await client.chat.completions.create(
  { ...ask, tools, tool_choice: "none", messages: [...messages, message, result] });
assert.ok(second.choices[0].message.content);
"""
    run(program, url)


def test_a_tool_call_in_a_stream_is_the_same_call(url: str) -> None:
    program = """
const parameters = { type: "object", properties: { city: { enum: ["Paris", "Rome"] } },
                     required: ["city"], additionalProperties: false };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
const wanted = { ...ask, tools, tool_choice: "required", max_completion_tokens: 200 };
const whole = await client.chat.completions.create(wanted);
const streamed = await client.chat.completions.stream(wanted).finalChatCompletion();
const calls = (answer) => answer.choices[0].message.tool_calls;
const written = (answer) => calls(answer).map((call) => call.function.arguments);
assert.deepEqual(written(streamed), written(whole));
"""
    run(program, url)


def test_responses_are_streamed_kept_and_continued(url: str) -> None:
    program = """
const first = await client.responses.create({ model, input: "Hello!", max_output_tokens: 20 });
assert.equal(first.object, "response");
const kinds = [];
const stream = await client.responses.create({ model, input: "Tell me more.", stream: true,
  previous_response_id: first.id, max_output_tokens: 20 });
for await (const event of stream) kinds.push(event.type);
assert.equal(kinds[0], "response.created");
assert.ok(["response.completed", "response.incomplete"].includes(kinds.at(-1)));
const found = await client.responses.retrieve(first.id);
assert.equal(found.output_text ?? "", first.output_text ?? "");
await client.responses.delete(first.id);
await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
"""
    run(program, url)

// openai's own package for JavaScript against the server.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { apiKey, baseURL, endless, idle, messages, model } from "./server.mjs";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const asked = { model, messages, temperature: 0, max_tokens: 6, ignore_eos: true };
const Digits = z.object({ a: z.number().int().min(0).max(9), b: z.enum(["x", "y"]) });

test("chat", async () => {
  const answer = await client.chat.completions.create(asked);
  assert.equal(answer.object, "chat.completion");
  assert.equal(answer.choices[0].finish_reason, "length");
  assert.equal(answer.usage.completion_tokens, 6);
  assert.match(answer.choices[0].message.content, /\w/);
  assert.match(answer._request_id, /^req_/);
});

test("the answer and its headers", async () => {
  const { data, response, request_id: id } = await client.chat.completions.create(asked).withResponse();
  assert.equal(data._request_id, id);
  assert.match(response.headers.get("content-type"), /^application\/json/);
  assert.ok(Number(response.headers.get("openai-processing-ms")) >= 0);
});

test("stream", async () => {
  const whole = (await client.chat.completions.create(asked)).choices[0].message.content;
  const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
  const pieces = [];
  let usage = null;
  for await (const chunk of stream) {
    assert.equal(chunk.object, "chat.completion.chunk");
    if (chunk.choices.length) pieces.push(chunk.choices[0].delta.content ?? "");
    usage = chunk.usage ?? usage;
  }
  assert.equal(pieces.join(""), whole);
  assert.ok(pieces.length > 2);
  assert.equal(usage.completion_tokens, 6);
});

test("the helper for streams", async () => {
  const runner = client.chat.completions.stream(asked);
  let seen = "";
  runner.on("content.delta", ({ delta }) => { seen += delta; });
  const final = await runner.finalChatCompletion();
  assert.equal(seen, final.choices[0].message.content);
  assert.equal(final.choices[0].finish_reason, "length");
});

test("tools", async () => {
  const tool = zodFunction({ name: "answer", parameters: Digits });
  const options = { model, messages, tools: [tool], tool_choice: "required", parallel_tool_calls: false, max_tokens: 80 };
  const answer = await client.chat.completions.parse(options);
  assert.equal(answer.choices[0].finish_reason, "tool_calls");
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(call.function.name, "answer");
  assert.deepEqual(call.function.parsed_arguments, Digits.parse(JSON.parse(call.function.arguments)));

  const streamed = await client.chat.completions.stream(options).finalChatCompletion();
  const [again] = streamed.choices[0].message.tool_calls;
  Digits.parse(JSON.parse(again.function.arguments));

  const { content, refusal, role } = answer.choices[0].message;
  const turn = { role, content, refusal, tool_calls: [{ id: call.id, type: "function", function: { name: "answer", arguments: call.function.arguments } }] };
  const told = await client.chat.completions.create({
    ...asked, messages: [...messages, turn, { role: "tool", tool_call_id: call.id, content: "Paris" }], tools: [tool],
  });
  assert.ok(told.usage.prompt_tokens > answer.usage.prompt_tokens);
});

test("tools that run", async () => {
  const called = [];
  const answer = { function: (given) => { called.push(given); return "noted"; }, parse: JSON.parse, name: "answer", description: "notes digits", parameters: z.toJSONSchema(Digits) };
  const runner = client.chat.completions.runTools(
    { model, messages, tools: [{ type: "function", function: answer }], tool_choice: "required", parallel_tool_calls: false, max_tokens: 80 },
    { maxChatCompletions: 1 },
  );
  await runner.done().catch(() => {}); // it asks for an end that a required call does not leave room for
  assert.equal(called.length, 1);
  Digits.parse(called[0]);
});

test("structured output", async () => {
  const options = { model, messages, response_format: zodResponseFormat(Digits, "digits"), max_tokens: 60 };
  const { choices: [{ message }] } = await client.chat.completions.parse(options);
  assert.deepEqual(message.parsed, Digits.parse(JSON.parse(message.content)));
});

test("text completions", async () => {
  const { choices } = await client.completions.create({ model, prompt: "One, two,", temperature: 0, max_tokens: 4, n: 2 });
  assert.deepEqual(choices.map(({ index }) => index), [0, 1]);
  let text = "";
  for await (const chunk of await client.completions.create({ model, prompt: "One, two,", temperature: 0, max_tokens: 4, stream: true })) text += chunk.choices[0]?.text ?? "";
  assert.equal(text, choices[0].text);
});

test("embeddings, in base64 unless asked otherwise", async () => {
  const input = ["a llama", "a train"];
  const { data, usage } = await client.embeddings.create({ model, input });
  const plain = await client.embeddings.create({ model, input, encoding_format: "float" });
  assert.ok(usage.prompt_tokens > 0);
  for (const [i, { embedding, index }] of data.entries()) {
    assert.equal(index, i);
    assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-3);
    embedding.forEach((value, at) => assert.ok(Math.abs(value - plain.data[i].embedding[at]) < 1e-3));
  }
  const raw = await client.post("/embeddings", { body: { model, input: "a llama", encoding_format: "base64" } });
  assert.equal(typeof raw.data[0].embedding, "string");
});

test("models", async () => {
  const ids = [];
  for await (const { id, object } of client.models.list()) {
    assert.equal(object, "model");
    ids.push(id);
  }
  assert.ok(ids.length > 0);
  assert.equal((await client.models.retrieve(ids[0])).id, ids[0]);
});

test("stored completions", async () => {
  const { id } = await client.chat.completions.create({ ...asked, store: true, metadata: { topic: "rivers" } });
  assert.equal((await client.chat.completions.retrieve(id)).metadata.topic, "rivers");
  const found = [];
  for await (const each of client.chat.completions.list({ metadata: { topic: "rivers" } })) found.push(each.id);
  assert.ok(found.includes(id));
  assert.equal((await client.chat.completions.delete(id)).deleted, true);
  await assert.rejects(client.chat.completions.retrieve(id), OpenAI.NotFoundError);
});

test("errors are of the classes that openai's callers catch", async () => {
  await assert.rejects(client.chat.completions.create({ ...asked, model: "gpt-nobody" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.status, 404);
    assert.equal(error.code, "model_not_found");
    assert.match(error.requestID, /^req_/);
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...asked, temperature: 7 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    assert.equal(error.type, "invalid_request_error");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...asked, max_tokens: 1e6 }), { code: "context_length_exceeded" });
  await assert.rejects(client.withOptions({ apiKey: "wrong" }).models.list(), OpenAI.AuthenticationError);
  await assert.rejects(client.get("/nothing"), OpenAI.NotFoundError);
});

test("an aborted stream frees its slot", async () => {
  for (const leave of ["abort", "break"]) {
    const stream = await client.chat.completions.create({ ...endless, stream: true });
    let n = 0;
    for await (const _ of stream) {
      if (++n < 3) continue;
      if (leave === "break") break;
      stream.controller.abort();
    }
    await idle();
  }
});

test("an aborted request frees its slot", async () => {
  const controller = new AbortController();
  const answer = client.chat.completions.create(endless, { signal: controller.signal });
  setTimeout(() => controller.abort(), 200);
  await assert.rejects(answer, OpenAI.APIUserAbortError);
  await idle();
});

test("a timeout frees its slot", async () => {
  await assert.rejects(client.chat.completions.create(endless, { timeout: 200 }), OpenAI.APIConnectionTimeoutError);
  await idle();
});

test("many at once", async () => {
  const answers = await Promise.all(Array.from({ length: 8 }, () => client.chat.completions.create(asked)));
  assert.ok(answers.every((answer) => answer.usage.completion_tokens === 6));
});

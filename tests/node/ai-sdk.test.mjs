// The Vercel AI SDK, with its provider for servers that speak openai's protocol.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { apiKey, baseURL, idle, model } from "./server.mjs";

const provider = createOpenAICompatible({ name: "llama-async", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true });
const asked = { model: provider(model), prompt: "What is the capital of France?", temperature: 0, maxRetries: 0 };
const Digits = z.object({ a: z.number().int().min(0).max(9) });

test("text", async () => {
  const { text, finishReason, usage } = await generateText({ ...asked, maxOutputTokens: 4 });
  assert.match(text, /\w/);
  assert.ok(["length", "stop"].includes(finishReason));
  assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
});

test("stream", async () => {
  const { text } = await generateText({ ...asked, maxOutputTokens: 6 });
  const result = streamText({ ...asked, maxOutputTokens: 6 });
  const pieces = [];
  for await (const piece of result.textStream) pieces.push(piece);
  assert.equal(pieces.join(""), text);
  assert.ok(pieces.length > 1);
  assert.ok((await result.usage).outputTokens > 1);
});

test("tools that run, then an answer", async () => {
  const called = [];
  const answer = tool({ description: "Notes a digit.", inputSchema: Digits, execute: (given) => { called.push(given); return "noted"; } });
  const { steps } = await generateText({
    ...asked,
    tools: { answer },
    maxOutputTokens: 80,
    stopWhen: stepCountIs(2),
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
  });
  assert.equal(steps.length, 2);
  assert.equal(steps[0].finishReason, "tool-calls");
  Digits.parse(called[0]);
  assert.match(steps[1].text, /\w/);
});

test("structured output", async () => {
  const { output } = await generateText({ ...asked, output: Output.object({ schema: Digits }), maxOutputTokens: 60 });
  Digits.parse(output);
});

test("embeddings", async () => {
  const values = ["a llama", "a train"];
  const { embeddings } = await embedMany({ model: provider.embeddingModel(model), values });
  assert.equal(embeddings.length, 2);
  assert.ok(embeddings.every((vector) => Math.abs(Math.hypot(...vector) - 1) < 1e-3));
});

test("errors", async () => {
  await assert.rejects(generateText({ ...asked, model: provider("gpt-nobody") }), (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 404);
    assert.equal(error.isRetryable, false);
    return true;
  });
});

test("an aborted stream frees its slot", async () => {
  const controller = new AbortController();
  const result = streamText({
    ...asked, prompt: "Count to a thousand.", abortSignal: controller.signal, onError() {},
    providerOptions: { "llama-async": { ignore_eos: true } },
  });
  let n = 0;
  for await (const { type } of result.fullStream) {
    if (type === "text-delta" && ++n === 3) controller.abort();
  }
  assert.ok(n >= 3);
  await idle();
});

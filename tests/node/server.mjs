// What the tests share: where the server is, what to ask it, and whether it still works for anybody.
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";

export const baseURL = process.env.LLAMA_ASYNC_BASE_URL; // ends in /v1
export const apiKey = process.env.LLAMA_ASYNC_API_KEY;
export const model = "default";
export const messages = [{ role: "user", content: "What is the capital of France?" }];
// An answer that goes on until somebody ends it.
export const endless = { model, messages: [{ role: "user", content: "Count to a thousand." }], ignore_eos: true };

/** Wait until no sequence and no queue has work left. */
export async function idle() {
  const until = Date.now() + 30_000;
  for (;;) {
    const reply = await fetch(new URL("/metrics", baseURL), { headers: { authorization: `Bearer ${apiKey}` } });
    const text = await reply.text();
    const value = (name) => {
      const [, number] = new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, "m").exec(text) ?? assert.fail(`${name} is not in ${text}`);
      return Number(number);
    };
    if (value("llama_async_slots_busy") + value("llama_async_queue_length") === 0) return;
    assert.ok(Date.now() < until, "the slot was not freed");
    await delay(5);
  }
}

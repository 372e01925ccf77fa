// Talks to the server at BASE_URL with Mistral's official SDK and prints what
// the SDK made of the answers, as one JSON object. sdk_test.go compares.
import { Mistral } from "@mistralai/mistralai";

const options = { serverURL: process.env.BASE_URL, timeoutMs: 30_000 };
const client = new Mistral({ ...options, apiKey: "key" });
const stranger = new Mistral({ ...options, apiKey: "wrong" });
const model = "mistral-small-latest";
const messages = [{ role: "user", content: "Hello!" }];

// told reads a stream to its end.
async function told(request) {
  const seen = { text: "", kinds: [], ids: [], roles: [], finish: [], usage: [] };
  for await (const { data } of await client.chat.stream({ model, ...request })) {
    seen.ids.push(data.id);
    if (data.usage) seen.usage.push(data.usage.totalTokens - data.usage.promptTokens);
    for (const { delta, finishReason } of data.choices) {
      if (delta.role) seen.roles.push(delta.role);
      if (finishReason) seen.finish.push(finishReason);
      for (const part of [delta.content].flat()) {
        const kind = typeof part === "string" ? "string" : part.type;
        if (seen.kinds.at(-1) !== kind) seen.kinds.push(kind);
        seen.text += kind === "string" ? part : part.text ?? "";
      }
    }
  }
  seen.ids = new Set(seen.ids).size;
  return seen;
}

// failure tells which error a call ends in.
async function failure(call) {
  try {
    await call;
    return "none";
  } catch (e) {
    return `${e.name} ${e.statusCode}`;
  }
}

const whole = await client.chat.complete({ model, messages });
const list = await client.models.list();
console.log(JSON.stringify({
  whole: {
    object: whole.object, model: whole.model,
    text: whole.choices[0].message.content, finish: whole.choices[0].finishReason,
    usage: whole.usage.totalTokens - whole.usage.promptTokens,
  },
  stream: await told({ messages }),
  short: await told({ messages, maxTokens: 3 }),
  prefix: await told({ messages: [...messages, { role: "assistant", content: "Hello, and", prefix: true }] }),
  parts: await told({ messages: [{ role: "user", content: "think" }] }),
  models: list.data.map((m) => `${m.type} ${m.id}`),
  unauthorized: await failure(stranger.chat.complete({ model, messages })),
  unprocessable: await failure(client.chat.complete({ model, messages, temperature: 9 })),
  order: await failure(client.chat.stream({ model, messages: [...messages, { role: "assistant", content: "so" }] })),
}));

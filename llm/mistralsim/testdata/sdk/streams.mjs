// Has Mistral's official SDK read the COUNT streams at BASE_URL/0, /1 and so on, and
// prints what it made of each, as a JSON array: text, finish_reason, error.
import { Mistral } from "@mistralai/mistralai";

const all = [];
for (let n = 0; n < Number(process.env.COUNT); n++) {
  const seen = { text: "", finish: "", error: "" };
  try {
    const client = new Mistral({ serverURL: `${process.env.BASE_URL}/${n}`, apiKey: "key", timeoutMs: 10_000 });
    for await (const { data } of await client.chat.stream({ model: "m", messages: [{ role: "user", content: "Hi" }] })) {
      for (const { index, delta, finishReason } of data.choices) {
        if (index !== 0) continue;
        if (finishReason) seen.finish = finishReason;
        for (const part of [delta.content ?? ""].flat()) seen.text += typeof part === "string" ? part : part.type === "text" ? part.text : "";
      }
    }
  } catch (e) {
    seen.error = e.name;
  }
  all.push(seen);
}
console.log(JSON.stringify(all));

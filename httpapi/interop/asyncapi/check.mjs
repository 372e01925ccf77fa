// Holds the two descriptions against the validators that others made. Prints what they find, and
// exits 1 when that is anything but what is allowed below.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Parser } from "@asyncapi/parser";
import { createConfig, lint } from "@redocly/openapi-core";

const openapi = fileURLToPath(new URL("../../openapi.yaml", import.meta.url));
const asyncapi = fileURLToPath(new URL("../../asyncapi.yaml", import.meta.url));

const config = await createConfig({
  extends: ["recommended-strict"],
  rules: {
    "info-license": "off", // the hub is not published under one
    "operation-2xx-response": "off", // an upgrade ends in 101
  },
});
const found = [];
for (const p of await lint({ ref: openapi, config })) {
  // The events of a stream: no validator follows x-event-data, contract_test.go does.
  if (p.ruleId === "no-unused-components" && p.message.includes('"StreamChunk"')) continue;
  found.push(`openapi.yaml: ${p.ruleId}: ${p.message} (${p.location?.[0]?.pointer ?? ""})`);
}
const { document, diagnostics } = await new Parser().parse(await readFile(asyncapi, "utf8"), { source: asyncapi });
for (const d of diagnostics) {
  if (d.code === "asyncapi-latest-version") continue; // 3.0 is what most tools read
  found.push(`asyncapi.yaml: ${d.code}: ${d.message} (${d.path.join("/")})`);
}

for (const line of found) console.log(line);
if (found.length || !document) process.exit(1);
console.log(`openapi.yaml and ${document.operations().all().length} operations of asyncapi.yaml are valid`);

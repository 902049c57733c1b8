// Validates an AsyncAPI document with the AsyncAPI parser: exit code 1 on any error or warning but those named here.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

// Where brokers are is the operator's configuration, not the contract's.
const expected = new Set(["asyncapi-latest-version"]);
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const faults = diagnostics.filter((found) => found.severity <= 1 && !expected.has(found.code));
for (const fault of faults) console.error(`${fault.code} at ${fault.path.join(".")}: ${fault.message}`);
if (!document || faults.length > 0) process.exit(1);
// Generators call what has no name AnonymousSchema_9: objects and fixed texts need one, other schemas become no type.
const unnamed = document
  .allSchemas()
  .all()
  .filter((schema) => schema.id()?.startsWith("<anonymous") && (schema.properties() || schema.enum() || schema.const()));
for (const schema of unnamed) console.error(`a schema without a name: ${JSON.stringify(schema.json()).slice(0, 200)}`);
if (unnamed.length > 0) process.exit(1);
console.log(`${document.allMessages().length} messages are valid`);

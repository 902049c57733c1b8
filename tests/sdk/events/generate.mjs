// Writes the types of the events in all languages: generate.mjs DOCUMENT FOLDER.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Parser } from "@asyncapi/parser";
import { channels, languages } from "../../../openapi/sdk/events.mjs";

const [, , file, target] = process.argv;
const { document } = await new Parser().parse(readFileSync(file, "utf8"));
for (const [language, { generator, output, folder = language }] of Object.entries(languages)) {
  const models = await generator.generateToFiles(document, join(target, folder), output, true);
  const names = models.map((model) => model.modelName);
  console.log(`${language}: ${names.join(" ")}`);
  const unchosen = names.filter((name) => !/^[A-Z][a-zA-Z]+$/.test(name) || /Anonymous|Reserved|Dot|Schema/.test(name));
  if (unchosen.length > 0) throw new Error(`names that nobody would choose: ${unchosen.join(", ")}`);
}
// In Python, the generator leaves out what comes through a channel.
const lines = ["from typing import Annotated, Union", "from pydantic import Field"];
for (const [channel, name] of Object.entries(channels)) {
  const events = document.channels().get(channel).messages().all().map((message) => message.name());
  for (const event of events) {
    lines.push(`from crm_events.${event.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase()} import ${event} as ${event}`);
  }
  lines.push(`${name} = Annotated[Union[${events.join(", ")}], Field(discriminator="event_type")]`);
}
writeFileSync(join(target, languages.python.folder, "__init__.py"), `${lines.join("\n")}\n`);

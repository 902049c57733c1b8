// Types of the events by modelina, in three languages: its options, and what it would do less well.
import {
  JAVA_JACKSON_PRESET,
  JavaFileGenerator,
  PYTHON_PYDANTIC_PRESET,
  PythonFileGenerator,
  TypeScriptFileGenerator,
  javaDefaultModelNameConstraints,
  pythonDefaultModelNameConstraints,
  typeScriptDefaultModelNameConstraints,
} from "@asyncapi/modelina";

// What comes through a channel is a type too, and would get the channel's name: `Events`.
export const channels = { events: "CrmEvent", platform: "PlatformEvent" };
// Values are called what the document calls them, without the name of their type, which is said anyway: `WON`.
const enumKey = ({ enumKey, enumModel }) => {
  const names = enumModel.originalInput["x-enum-varnames"];
  const index = enumModel.values.findIndex((value) => value.key === enumKey);
  return names?.[index]?.slice(enumModel.name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").length + 1) ?? enumKey;
};
const options = (modelName) => ({
  constraints: { enumKey, modelName: (context) => channels[context.modelName] ?? modelName(context) },
  // More fields may come, but there is no field of that name.
  processorOptions: { interpreter: { ignoreAdditionalProperties: true } },
});
const fixedText = (property) => property.property.options.const?.originalInput;

// The preset quotes fixed texts twice. As types of their own they tell the events of a channel apart.
const literals = {
  class: {
    property({ content, property, renderer }) {
      const text = fixedText(property);
      if (!text) return content;
      renderer.dependencyManager.addDependency("from typing import Literal");
      return content.replace(": str =", `: Literal['${text}'] =`).replace(/, default=''.*?''/, "");
    },
  },
};
// The preset would tell them apart by their fields, which are the same.
const byEventType = {
  union: {
    self({ content, model }) {
      const type = (name) => fixedText(model.union.find((event) => event.name === name).ref.properties.eventType);
      const by = 'use=JsonTypeInfo.Id.NAME, include=JsonTypeInfo.As.EXISTING_PROPERTY, property="eventType", visible=true';
      return content
        .replace("use=JsonTypeInfo.Id.DEDUCTION", by)
        .replace(/(\w+)\.class, name = "\w+"/g, (_, name) => `${name}.class, name = "${type(name)}"`);
    },
  },
};

export const languages = {
  typescript: {
    generator: new TypeScriptFileGenerator({
      ...options(typeScriptDefaultModelNameConstraints()),
      modelType: "interface",
      rawPropertyNames: true,
    }),
    output: { exportType: "named" },
  },
  python: {
    generator: new PythonFileGenerator({
      ...options(pythonDefaultModelNameConstraints()),
      presets: [PYTHON_PYDANTIC_PRESET, literals],
    }),
    output: { packageName: "crm_events" },
    folder: "python/crm_events",
  },
  java: {
    generator: new JavaFileGenerator({
      ...options(javaDefaultModelNameConstraints()),
      presets: [JAVA_JACKSON_PRESET, byEventType],
      collectionType: "List",
      // Versions count up for ever.
      typeMapping: { Integer: ({ partOfProperty }) => (partOfProperty?.required ? "long" : "Long") },
    }),
    output: { packageName: "crm.events" },
    folder: "java/crm/events",
  },
};

const REQUEST_ID = "X-Request-ID";
const TIMEOUT_MS = 2000;

// ---- The contract, as this page shows it -------------------------------------------------------------------------------

// `/customers/{customer_id}` says that a `customerId` is found in the list `customers`. A `requestId` is found in the audit
// trail, by those who may read it.
const lists = { requestId: "audit-logs" };
const camelCase = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

function resolve(spec, node) {
  return node?.$ref ? node.$ref.slice(2).split("/").reduce((place, key) => place[key], spec) : node;
}

function* operations(spec) {
  for (const [path, item] of Object.entries(spec.paths))
    for (const [method, operation] of Object.entries(item)) yield { path, method, operation };
}

// A parameter with an example or a default would be filled in: a list would find nothing, and ids would not exist.
function withoutValue(spec, parameter) {
  const { example, examples, ...rest } = parameter;
  const { example: ofSchema, default: normally, ...schema } = resolve(spec, rest.schema) ?? {};
  const values = [...Object.values(examples ?? {}).map((each) => each.value), example ?? ofSchema];
  const shown = [...new Set(values.filter((value) => value !== undefined).map((value) => `\`${[value].flat().join(",")}\``))];
  const notes = [];
  if (normally !== undefined) notes.push(`Without it: \`${normally}\`.`);
  if (shown.length && !parameter.required) notes.push(`For example ${shown.join(", ")}.`);
  return { ...rest, schema, description: [parameter.description ?? "", ...notes].join(" ") };
}

function hint(parameter, method) {
  if (parameter.name === REQUEST_ID) return "Each _Execute_ sends a new one, unless you enter your own.";
  if (parameter.name === "request_id" || parameter.name === "key") return "Filled in with that of the last change made here, else of the newest creation in the audit trail.";
  if (parameter.in !== "path") return "";
  const list = lists[camelCase(parameter.name)];
  if (method === "get") return `Filled in with one that exists; \`GET /${list}\` has them all.`;
  return `Filled in with the one last created or read here, if any; \`GET /${list}\` has them all.`;
}

function adapt(spec) {
  for (const path of Object.keys(spec.paths)) {
    const found = /^\/([\w-]+)\/\{(\w+_id)\}$/.exec(path);
    if (found && found[2] !== "request_id") lists[camelCase(found[2])] = found[1];
  }
  for (const { path, method, operation } of operations(spec)) {
    const shown = (operation.parameters ?? []).map((reference) => {
      const parameter = withoutValue(spec, resolve(spec, reference));
      const note = hint(parameter, method);
      return note ? { ...parameter, description: `${parameter.description} ${note}`.trim() } : parameter;
    });
    // What has to be there comes first, then what a list is narrowed by.
    const rank = ({ required, in: place }) => (required ? 0 : 2) + (place === "header" ? 1 : 0);
    operation.parameters = shown.sort((one, other) => rank(one) - rank(other));
    // Tokens come from the platform, at an address that this page does not know.
    operation.security = operation.security?.filter((scheme) => !scheme.oauth2);
    for (const body of Object.values(operation.requestBody?.content ?? {}))
      for (const [name, example] of Object.entries(body.examples ?? {})) body.examples[name] = { ...resolve(spec, example) };
  }
  const { bearerAuth } = spec.components.securitySchemes;
  bearerAuth.description = `Paste a token, with or without \`Bearer\`. The platform issues tokens; a demo prints its own, and a service with its own development secret accepts those that \`crm token\` prints on the same machine. This browser keeps it until you log out.\n\n${bearerAuth.description}`;
  delete spec.components.securitySchemes.oauth2;
  // What holds for all operations is long, and is read after the first click.
  const readLater = (tag) => tag.name === "Conventions";
  spec.tags = [...spec.tags.filter((tag) => !readLater(tag)), ...spec.tags.filter(readLater)];
  return spec;
}

// ---- What this page has seen, so that the next request names what exists --------------------------------------------------

let seen = {};
// Of one caller and one tenant.
const forget = (tenant) => (seen = { tenant });
const idOf = (path) => Object.keys(lists).find((field) => path === `/${lists[field]}` || path.startsWith(`/${lists[field]}/`));

function remember(path, method, { error, err, ...response }, request) {
  const { status, body } = error ? (err.response ?? {}) : response;
  const field = idOf(path);
  const isOne = path.split("/").length === 3;
  const isGone = status === 404 || (method === "delete" && status === 204);
  if (isOne && isGone && field && request?.url.endsWith(`/${seen[field]}`)) {
    delete seen[field];
    // What belonged to a customer is deleted with it.
    if (field === "customerId") seen = { tenant: seen.tenant, requestId: seen.requestId };
  }
  if (!(status < 300)) return;
  const tenant = request?.headers["X-Tenant-Id"];
  if (tenant !== seen.tenant) forget(tenant);
  const key = request?.headers["Idempotency-Key"]?.replace(/^"(.*)"$/, "$1") || request?.headers[REQUEST_ID];
  if (method !== "get") seen.requestId = key;
  if (field && typeof body?.[field] === "string") seen[field] = body[field];
}

// The newest of a list; nothing without a token, or where the service does not answer in time.
async function newest(field, { headers, query = {} }) {
  if (!headers.Authorization) return undefined;
  const url = new URL(lists[field], root);
  url.search = new URLSearchParams({ pageSize: "1", ...(field === "requestId" && { action: "create" }), ...query });
  try {
    const reply = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
    return reply.ok ? (await reply.json()).data[0]?.[field] : undefined;
  } catch {
    return undefined;
  }
}

// An example with the ids of resources that exist, and that belong to one customer.
async function withIds(example, required, headers) {
  const body = { ...example };
  const fields = Object.keys(body).filter((field) => lists[field]);
  if (fields.includes("customerId")) body.customerId = seen.customerId ?? (await newest("customerId", { headers })) ?? body.customerId;
  for (const field of fields.filter((field) => field !== "customerId")) {
    const query = body.customerId ? { customerId: body.customerId } : {};
    const found = await newest(field, { headers, query });
    if (found || required.includes(field)) body[field] = found ?? body[field];
    else delete body[field];
  }
  return body;
}

// ---- Swagger UI ------------------------------------------------------------------------------------------------------------

const parameter = (system, path, method, name) =>
  system.specSelectors
    .specJsonWithResolvedSubtrees()
    .getIn(["paths", path, method, "parameters"])
    ?.find((each) => each.get("name") === name);

const valueOf = (system, path, method, name) => {
  const declared = parameter(system, path, method, name);
  return declared && system.specSelectors.parameterWithMetaByIdentity([path, method], declared).get("value");
};

// What was filled in is replaced, also by nothing; what somebody has entered stays.
const filled = {};
function fill(system, path, method, name, value) {
  const key = `${method} ${path} ${name}`;
  const present = valueOf(system, path, method, name) || undefined;
  if (present !== undefined && present !== filled[key]) return;
  filled[key] = value;
  system.specActions.changeParamByIdentity([path, method], parameter(system, path, method, name), value);
}

async function fillIn(system, spec, path, method) {
  const operation = spec.paths[path][method];
  const token = system.authSelectors.authorized().getIn(["bearerAuth", "value"]);
  const tenant = valueOf(system, path, method, "X-Tenant-Id") || undefined;
  if (tenant !== seen.tenant) forget(tenant);
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...(tenant && { "X-Tenant-Id": tenant }) };
  for (const { name } of operation.parameters.filter((each) => each.required && each.name !== REQUEST_ID)) {
    const field = name === "key" ? "requestId" : camelCase(name);
    // Nothing is changed or deleted that nobody has chosen.
    const id = seen[field] ?? (method === "get" && lists[field] ? await newest(field, { headers }) : undefined);
    fill(system, path, method, name, id);
  }
  for (const [type, { schema, examples }] of Object.entries(operation.requestBody?.content ?? {})) {
    const edited = system.oas3Selectors.hasUserEditedBody(path, method);
    for (const [name, { value }] of Object.entries(examples ?? {})) {
      const body = await withIds(value, resolve(spec, schema)?.required ?? [], headers);
      const place = ["paths", path, method, "requestBody", "content", type, "examples", name, "value"];
      system.specActions.updateResolvedSubtree(place, body);
    }
    if (!edited) system.oas3Actions.setRequestBodyValue({ value: undefined, pathMethod: [path, method] });
  }
}

// A version-4 UUID (RFC 9562). `crypto.randomUUID` is there only over TLS and on this machine.
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

const withoutScheme = (value) => (typeof value === "string" ? value.replace(/^\s*Bearer\s+/i, "") : value);

const sent = {};
// The operations whose forms were opened: what was filled in for one caller is replaced for the next.
const opened = new Set();
function changeCaller(system, spec, change) {
  forget();
  const result = change();
  for (const { path, method } of opened) fillIn(system, spec, path, method);
  return result;
}

const plugin = (spec, all = [...operations(spec)]) => ({
  statePlugins: {
    layout: {
      wrapActions: {
        show: (original, system) => (thing, shown = true) => {
          const [, , operationId, what] = [thing].flat();
          const found = shown && what === "try-it-out" && all.find((each) => each.operation.operationId === operationId);
          if (!found) return original(thing, shown);
          opened.add(found);
          return fillIn(system, spec, found.path, found.method).finally(() => original(thing, shown));
        },
      },
    },
    spec: {
      wrapActions: {
        // The first thing that Execute does.
        validateParams: (original, system) => (pathMethod, ...rest) => {
          if (parameter(system, ...pathMethod, REQUEST_ID)) fill(system, ...pathMethod, REQUEST_ID, uuid());
          return original(pathMethod, ...rest);
        },
        setMutatedRequest: (original) => (path, method, request) => {
          sent[`${method} ${path}`] = request;
          return original(path, method, request);
        },
        setResponse: (original) => (path, method, response) => {
          remember(path, method, response, sent[`${method} ${path}`]);
          return original(path, method, response);
        },
      },
    },
    auth: {
      wrapActions: {
        authorize: (original, system) => ({ bearerAuth, ...others }) => {
          const token = bearerAuth && { ...bearerAuth, value: withoutScheme(bearerAuth.value) };
          return changeCaller(system, spec, () => original({ ...others, ...(token && { bearerAuth: token }) }));
        },
        logout: (original, system) => (names) => changeCaller(system, spec, () => original(names)),
      },
    },
  },
});

const spec = adapt(await contract());
SwaggerUIBundle({
  spec,
  dom_id: "#swagger-ui",
  plugins: [() => plugin(spec)],
  deepLinking: true,
  filter: true,
  persistAuthorization: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});

// Accepts the service's authentication with an OpenID provider that is not ours: it rotates its keys while requests go on, is
// killed and comes back. Run by `make oidc`.
import { fork, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync, chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../free-port.mjs";

const crm = process.env.CRM ?? "target/debug/crm";
const rotations = Number(process.env.ROTATIONS ?? 12);
const work = mkdtempSync(join(tmpdir(), "crm-oidc-"));
let provider;
let service;
let log = "";

async function startProvider(port) {
  provider = fork(new URL("provider.mjs", import.meta.url), [String(port)], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  await new Promise((resolve, reject) => {
    provider.once("message", resolve);
    provider.once("exit", (code) => reject(new Error(`the provider ended with ${code}`)));
  });
}

async function killProvider() {
  const ended = new Promise((resolve) => provider.once("exit", resolve));
  provider.kill("SIGKILL");
  await ended;
}

async function rotate() {
  const rotated = new Promise((resolve) => provider.once("message", resolve));
  provider.send("rotate");
  return (await rotated).rotated;
}

// A token; an opaque one where no resource is named.
async function token(issuer, { jwt = true } = {}) {
  const body = new URLSearchParams({ grant_type: "client_credentials", scope: "crm:read crm:write" });
  if (jwt) body.set("resource", "urn:crm");
  const basic = Buffer.from("reader:only+on+loopback").toString("base64");
  const headers = { authorization: `Basic ${basic}` };
  const reply = await fetch(`${issuer}/token`, { method: "POST", headers, body });
  const answer = await reply.json();
  if (!reply.ok) throw new Error(`no token: ${reply.status} ${JSON.stringify(answer)}`);
  return answer.access_token;
}

function fail(message) {
  throw new Error(message);
}

// Starts the service with these variables, and none of ours.
function serve(port, variables) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("CRM_") && name !== "PORT");
  const common = { CRM_PORT: String(port), CRM_METRICS_ADDR: "off", CRM_DATA_DIR: join(work, "data") };
  service = spawn(crm, ["serve"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...Object.fromEntries(own), ...common, ...variables },
  });
  service.stderr.on("data", (text) => (log += text));
}

async function check() {
  const [providerPort, port] = [await freePort(), await freePort()];
  const issuer = `http://127.0.0.1:${providerPort}`;
  const api = `http://127.0.0.1:${port}/api/v1/crm`;
  const get = async (bearer, path = "/customers") => {
    const reply = await fetch(api + path, { headers: bearer ? { authorization: `Bearer ${bearer}` } : {} });
    await reply.arrayBuffer();
    return reply.status;
  };
  const until = async (what, seconds, holds) => {
    for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(100)) if (await holds()) return console.log(`ok: ${what}`);
    fail(`${what}: not within ${seconds} s`);
  };
  const expect = async (what, status, expected) => {
    const got = await status;
    if (got !== expected) fail(`${what}: ${got} instead of ${expected}`);
    console.log(`ok: ${what}`);
  };

  const secret = join(work, "client");
  writeFileSync(secret, "s3cret: of/crm\n");
  chmodSync(secret, 0o600);
  serve(port, {
    CRM_OIDC_ISSUER: issuer,
    CRM_JWT_AUDIENCE: "crm",
    CRM_TENANT_CLAIM: "tenant",
    CRM_TENANCY: "token",
    CRM_SCOPES: "required",
  });
  service.once("exit", (code) => code && console.error(log));
  // The platform is not there yet: the service is.
  await until("the service starts without the provider", 60, async () => (await get(null, "/health").catch(() => 0)) === 200);
  await startProvider(providerPort);
  const first = await token(issuer);
  await until("a token is accepted once the provider is there", 15, async () => (await get(first)) === 200);
  await expect("a token with a changed signature is refused", get(first.slice(0, -8) + "AAAAAAAA"), 401);

  // Requests go on while the keys are rotated.
  let going = true;
  const failed = [];
  let requests = 0;
  const load = async () => {
    while (going) {
      const bearer = await token(issuer);
      for (const end = Date.now() + 300; going && Date.now() < end; requests += 1) {
        const status = await get(bearer);
        if (status !== 200) failed.push(status);
      }
    }
  };
  const loads = Array.from({ length: 4 }, load);
  for (let rotation = 0; rotation < rotations; rotation += 1) {
    await sleep(1000);
    await rotate();
  }
  await sleep(500);
  going = false;
  await Promise.all(loads);
  if (failed.length > 0) fail(`${failed.length} of ${requests} requests failed: ${[...new Set(failed)]}`);
  console.log(`ok: ${rotations} rotations under ${requests} requests, none failed`);
  // Killed: what is known holds, what is not is not accepted.
  const known = await token(issuer);
  await expect("a token before the provider is killed", get(known), 200);
  await killProvider();
  await expect("a known token while the provider is away", get(known), 200);
  const [header, payload, signature] = known.split(".");
  const unknown = JSON.parse(Buffer.from(header, "base64url"));
  const forged = Buffer.from(JSON.stringify({ ...unknown, kid: "unknown" })).toString("base64url");
  await expect("an unknown key while the provider is away", get([forged, payload, signature].join(".")), 503);
  await expect("a token of a key that was withdrawn while the provider is away", get(first), 503);
  await expect("probes while the provider is away", get(null, "/health"), 200);

  // Back, with other keys.
  await startProvider(providerPort);
  const fresh = await token(issuer);
  await until("a token of the provider that came back is accepted", 35, async () => (await get(fresh)) === 200);
  await expect("a token of its former keys", get(known), 401);
  await expect("a token of its very first key", get(first), 401);
  return { issuer };
}

// The same with introspection: every token is asked about, opaque ones too.
async function checkIntrospection({ issuer }) {
  const port = await freePort();
  const get = async (bearer) => {
    const reply = await fetch(`http://127.0.0.1:${port}/customers`, { headers: { authorization: `Bearer ${bearer}` } });
    await reply.arrayBuffer();
    return reply.status;
  };
  service.kill("SIGTERM");
  await new Promise((resolve) => service.once("exit", resolve));
  serve(port, {
    PLATFORM_AUTH_URL: `${issuer}/token/introspection`,
    CRM_PLATFORM_AUTH_CLIENT_ID: "crm",
    CRM_PLATFORM_AUTH_CLIENT_SECRET_FILE: join(work, "client"),
    CRM_AUTH_CACHE: "0s",
  });
  const opaque = await token(issuer, { jwt: false });
  const end = Date.now() + 60_000;
  let status = 0;
  while (Date.now() < end && status === 0) {
    status = await get(opaque).catch(() => 0);
    await sleep(100);
  }
  if (status !== 200) fail(`an opaque token: ${status} instead of 200`);
  console.log("ok: an opaque token is introspected");
  if ((await get("no-such-token")) !== 401) fail("a token that the provider does not know is not refused");
  console.log("ok: a token that the provider does not know is refused");
}

let code = 0;
try {
  await checkIntrospection(await check());
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  console.error(log.split("\n").filter((line) => /WARN|ERROR/.test(line)).slice(-20).join("\n"));
  code = 1;
} finally {
  service?.kill("SIGTERM");
  provider?.kill("SIGKILL");
  rmSync(work, { recursive: true, force: true });
}
process.exit(code);

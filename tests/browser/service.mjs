// A service with some data, and an nginx in front of it that mounts it elsewhere.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../free-port.mjs";

const crm = process.env.CRM ?? "target/debug/crm";
const SCOPES = "crm:read crm:write crm:pii:read crm:pii:erase crm:audit:read";

async function answers(url, child) {
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(100)) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`);
    const status = await fetch(url).then((reply) => reply.status, () => 0);
    if (status === 200) return;
  }
  throw new Error(`${url} does not answer`);
}

// One that takes the prefix away, and one that replaces it.
const nginxConfiguration = (work, port, service) => `
daemon off;
master_process off;
pid ${work}/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  client_body_temp_path ${work}/body; proxy_temp_path ${work}/proxy; fastcgi_temp_path ${work}/fastcgi;
  uwsgi_temp_path ${work}/uwsgi; scgi_temp_path ${work}/scgi;
  server {
    listen 127.0.0.1:${port};
    location /other/prefix/ { proxy_pass http://127.0.0.1:${service}/; }
    location /cells/crm/ { proxy_pass http://127.0.0.1:${service}/api/v1/crm/; }
  }
}
`;

// Two customers, and one of each of the others, which belong to the first.
async function fill(api, token) {
  let sent = 0;
  const create = async (path, body) => {
    const headers = { Authorization: `Bearer ${token}`, "X-Request-ID": `seed-${(sent += 1)}`, "Content-Type": "application/json" };
    const reply = await fetch(api + path, { method: "POST", headers, body: JSON.stringify(body) });
    if (reply.status !== 201) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
    return reply.json();
  };
  const { customerId } = await create("/customers", { name: "Northwind", contactPhone: "+44 20 7946 0958" });
  await create("/contacts", { customerId, name: "Ada Byron", isPrimary: true });
  const { opportunityId } = await create("/opportunities", { customerId, title: "Licence", amountCents: 1_250_000 });
  await create("/follow-ups", { opportunityId, content: "Called, wants an offer" });
  await create("/customers", { name: "Contoso" });
}

export async function start() {
  const work = mkdtempSync(join(tmpdir(), "crm-browser-"));
  const [port, front] = [await freePort(), await freePort()];
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("CRM_") && name !== "PORT");
  const variables = { CRM_PORT: String(port), CRM_METRICS_ADDR: "off", CRM_DATA_DIR: join(work, "data") };
  const env = { ...Object.fromEntries(own), ...variables };
  const children = [];
  const stop = () => {
    children.forEach((child) => child.kill("SIGTERM"));
    rmSync(work, { recursive: true, force: true });
  };
  try {
    const service = spawn(crm, ["serve"], { stdio: ["ignore", "ignore", "ignore"], env });
    children.push(service);
    await answers(`http://127.0.0.1:${port}/health`, service);
    const token = execFileSync(crm, ["token", "--scope", SCOPES], { env, encoding: "utf8" }).trim();
    await fill(`http://127.0.0.1:${port}`, token);

    const nginxFolder = join(work, "nginx");
    mkdirSync(nginxFolder);
    writeFileSync(join(nginxFolder, "nginx.conf"), nginxConfiguration(nginxFolder, front, port));
    const nginx = spawn("nginx", ["-c", join(nginxFolder, "nginx.conf"), "-p", nginxFolder, "-e", "stderr"], { stdio: ["ignore", "ignore", "inherit"] });
    children.push(nginx);
    await answers(`http://127.0.0.1:${front}/other/prefix/health`, nginx);
    return { direct: `http://127.0.0.1:${port}`, proxied: `http://127.0.0.1:${front}`, token, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

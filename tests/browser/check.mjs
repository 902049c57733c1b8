// Looks at the pages as people do, in a headless Chromium: at both mount points, and behind an nginx under other prefixes.
// Run by `make browser`, which leaves screenshots in target/browser.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";
import { start } from "./service.mjs";
import { SwaggerUi } from "./swagger_ui.mjs";

const screenshots = "target/browser";
mkdirSync(screenshots, { recursive: true });
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const LISTS = ["listCustomers", "listContacts", "listOpportunities", "listFollowUps", "listEvents", "listAuditLogs"];
const CREATED = ["createContact", "createOpportunity", "createFollowUp", "createCustomer"];

const service = await start();
const browser = await chromium.launch({
  executablePath: execFileSync("which", ["chromium"], { encoding: "utf8" }).trim(),
  // The sandbox does not start for root, which CI is.
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});

// A page in a profile of its own, that may neither complain nor ask anybody else. The browser itself complains about replies
// that are errors: those that a step expects are named.
async function visit(name, look) {
  const began = Date.now();
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const complaints = [];
  const expected = [];
  const foreign = [];
  page.on("pageerror", (error) => complaints.push(`${error}`));
  page.on("console", (message) => {
    const isExpected = /Failed to load resource/.test(message.text()) && expected.some((status) => message.text().includes(` ${status} `));
    if (["error", "warning"].includes(message.type()) && !isExpected) complaints.push(`${message.text()} ${message.location().url}`);
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (![service.direct, service.proxied].includes(url.origin) && !["data:", "blob:"].includes(url.protocol)) foreign.push(request.url());
  });
  try {
    await look(page, { expectStatus: (status) => expected.push(status), shoot: (what) => page.screenshot({ path: `${screenshots}/${name}-${what}.png`, fullPage: false }) });
    assert.deepEqual(foreign, [], "requests to others");
    assert.deepEqual(complaints, [], "complaints in the console");
    console.log(`ok: ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    await page.screenshot({ path: `${screenshots}/${name}-FAILED.png` });
    error.message = `${name}: ${error.message}${complaints.length ? `\nconsole: ${complaints.join("\n")}` : ""}`;
    throw error;
  } finally {
    await context.close();
  }
}

async function listsUntouched(ui, api) {
  for (const list of LISTS) {
    const block = await ui.tryOut(list);
    const prefilled = Object.entries(await ui.fields(block)).filter(([, value]) => value !== "" && value !== "--");
    assert.deepEqual(prefilled, [], `${list} is filled in already`);
    const { url, status, body, shown, requestId } = await ui.execute(block);
    assert.equal(status, 200, list);
    assert.equal(url.search, "", list);
    assert.ok(url.href.startsWith(`${api}/`), `${url} is not below ${api}`);
    assert.match(requestId, UUID, list);
    if (list === "listEvents") assert.ok(body.data.length > 0);
    else assert.ok(body.total >= body.data.length && body.data.length > 0 && shown.includes(`"total": ${body.total}`), list);
  }
}

async function createByTwoClicks(ui) {
  for (const create of CREATED) {
    const { block, status, body, sent, requestId, shown } = await ui.twoClicks(create);
    assert.equal(status, 201, `${create}: ${shown}`);
    assert.match(requestId, UUID);
    if (create !== "createCustomer") assert.ok(sent.customerId || sent.opportunityId || create === "createFollowUp", `${create} names nothing`);
    const again = await ui.execute(block);
    assert.equal(again.status, 201, `${create}, a second time: ${again.shown}`);
    assert.notEqual(again.requestId, requestId, "the second click has another request id");
    assert.ok(body && again.body);
  }
}

// Every example of a body, not only the first.
async function otherExamples(ui) {
  for (const create of CREATED) {
    const block = ui.operation(create);
    await block.locator(".examples-select-element").first().selectOption("complete");
    const { status, shown, sent } = await ui.execute(block);
    assert.equal(status, 201, `${create}, complete: ${shown} ${JSON.stringify(sent)}`);
  }
}

async function readAndChange(ui, expectStatus) {
  for (const get of ["getCustomer", "getContact", "getOpportunity", "getFollowUp", "exportCustomer", "getRequest", "findRequest"]) {
    const { status, shown } = await ui.twoClicks(get);
    assert.equal(status, 200, `${get}: ${shown}`);
  }
  for (const update of ["updateCustomer", "updateContact", "updateOpportunity", "updateFollowUp"]) {
    const { status, shown } = await ui.twoClicks(update);
    assert.equal(status, 200, `${update}: ${shown}`);
  }
  expectStatus(404);
  assert.equal((await ui.twoClicks("getErasure")).status, 404);
  const erased = await ui.twoClicks("eraseCustomer");
  assert.ok([200, 201, 202].includes(erased.status), `eraseCustomer: ${erased.shown}`);
  for (const remove of ["deleteFollowUp", "deleteOpportunity", "deleteContact", "deleteCustomer"]) {
    const { status, shown } = await ui.twoClicks(remove);
    assert.equal(status, 204, `${remove}: ${shown}`);
  }
}

async function swaggerUi(name, address) {
  const api = address.replace(/\/docs\/?$/, "");
  await visit(name, async (page, { expectStatus, shoot }) => {
    const ui = new SwaggerUi(page);
    await ui.open(address);
    assert.equal(await page.title(), "CRM API – Try it out");
    assert.equal(await page.evaluate(() => document.compatMode), "CSS1Compat");
    assert.equal(await page.locator(".servers select").inputValue(), api);
    await shoot("1-opened");
    await ui.authorize(service.token);
    assert.ok(await ui.isAuthorized());
    await page.reload();
    await ui.loaded();
    assert.ok(await ui.isAuthorized(), "the token is gone after a reload");
    await ui.executeRefused("deleteCustomer", "customer_id");
    await ui.executeRefused("updateCustomer", "customer_id");
    await page.reload();
    await ui.loaded();
    const read = await ui.twoClicks("getContact");
    assert.equal(read.status, 200, "the first click on one of a list");
    await page.reload();
    await ui.loaded();
    await listsUntouched(ui, api);
    await ui.operation("listCustomers").scrollIntoViewIfNeeded();
    await shoot("2-list");
    await createByTwoClicks(ui);
    await otherExamples(ui);
    await ui.operation("createContact").scrollIntoViewIfNeeded();
    await shoot("3-created");
    await readAndChange(ui, expectStatus);
    await page.reload();
    await ui.loaded();
    const block = await ui.tryOut("getCustomer");
    await ui.field(block, "customer_id").fill("nobody");
    const { status, shown } = await ui.execute(block);
    assert.equal(status, 404);
    assert.match(shown, /"code": "NOT_FOUND"[^]*"requestId"/);
    await block.locator(".live-responses-table").first().scrollIntoViewIfNeeded();
    await shoot("4-error");
    expectStatus(409);
    const create = await ui.tryOut("createCustomer");
    await ui.field(create, "X-Request-ID").fill(`own-${name}`);
    assert.equal((await ui.execute(create)).status, 201);
    const duplicate = await ui.execute(create);
    assert.deepEqual([duplicate.status, duplicate.requestId, duplicate.body.code], [409, `own-${name}`, "IDEMPOTENT_CONFLICT"]);
  });
}

// Whoever has no token is told so, and sees nothing filled in.
async function withoutToken(address) {
  await visit("without-token", async (page, { expectStatus, shoot }) => {
    const ui = new SwaggerUi(page);
    await ui.open(address);
    expectStatus(401);
    const { status, shown, block } = await ui.twoClicks("listCustomers");
    assert.equal(status, 401);
    assert.match(shown, /"code": "UNAUTHORIZED"/);
    await block.scrollIntoViewIfNeeded();
    await shoot("1-refused");
    await page.locator(".btn.authorize").first().click();
    await page.locator(".auth-container input").waitFor();
    assert.equal(await page.locator(".auth-container h4").count(), 1, "one way to authorize");
    assert.match(await page.locator(".auth-container").innerText(), /crm token/);
    await shoot("2-authorize");
  });
}

async function render(name, base) {
  await visit(name, async (page, { shoot }) => {
    const index = await page.goto(`${base}/`);
    assert.equal(index.status(), 200);
    assert.equal(await page.title(), "CRM API");
    await shoot("index");
    for (const link of await page.locator("main a").all()) {
      const address = await link.evaluate((each) => each.href);
      assert.ok(address.startsWith(`${base}/`), address);
      assert.equal((await page.request.get(address)).status(), 200, address);
    }
    for (const address of [`${base}/redoc`, `${base}/redoc/`]) {
      await page.goto(address);
      await page.getByRole("heading", { name: "Conventions" }).first().waitFor();
      assert.equal(await page.title(), "CRM API – Reference");
    }
    await shoot("redoc");
    await page.getByText("Customers", { exact: true }).first().click();
    await page.getByText("Create a customer", { exact: true }).first().click();
    await page.getByRole("heading", { name: "Create a customer" }).first().waitFor();
    await page.getByText(`${base}/customers`).first().waitFor({ state: "attached" });
    await shoot("redoc-operation");
    for (const address of [`${base}/docs`, `${base}/docs/`]) {
      const ui = new SwaggerUi(page);
      await ui.open(address);
      assert.equal((await ui.twoClicks("getHealth")).status, 200);
    }
  });
}

let code = 0;
try {
  await withoutToken(`${service.direct}/docs`);
  await render("direct", service.direct);
  await render("gateway", `${service.direct}/api/v1/crm`);
  await render("nginx", `${service.proxied}/other/prefix`);
  await swaggerUi("docs", `${service.direct}/docs`);
  await swaggerUi("docs-gateway", `${service.direct}/api/v1/crm/docs`);
  await swaggerUi("docs-nginx", `${service.proxied}/other/prefix/docs/`);
  await swaggerUi("docs-nginx-replaced", `${service.proxied}/cells/crm/docs`);
} catch (error) {
  console.error(`FAILED: ${error.stack}`);
  code = 1;
} finally {
  await browser.close();
  service.stop();
}
process.exit(code);

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
const LISTS = ["listCustomers", "listContacts", "listOpportunities", "listFollowUps", "listEvents", "listChanges", "listAuditLogs"];
const CREATED = ["createContact", "createOpportunity", "createFollowUp", "createCustomer"];

const service = await start();
const executablePath = execFileSync("which", [process.env.TEST_CHROMIUM ?? "chromium"], { encoding: "utf8" }).trim();
const browser = await chromium.launch({ executablePath });

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

async function listsUntouched(ui, api, shoot) {
  for (const list of LISTS) {
    const block = await ui.tryOut(list);
    const prefilled = Object.entries(await ui.fields(block)).filter(([, value]) => value !== "" && value !== "--");
    assert.deepEqual(prefilled, [], `${list} is filled in already`);
    const { url, status, body, shown, requestId } = await ui.execute(block);
    assert.equal(status, 200, list);
    assert.equal(url.search, "", list);
    assert.ok(url.href.startsWith(`${api}/`), `${url} is not below ${api}`);
    assert.match(requestId, UUID, list);
    assert.ok(body.data.length > 0, list);
    if (!["listEvents", "listChanges"].includes(list)) assert.ok(body.total >= body.data.length && shown.includes(`"total": ${body.total}`), list);
    if (list === "listCustomers") {
      assert.equal(body.total, await customers(api));
      await block.locator(".live-responses-table").first().scrollIntoViewIfNeeded();
      await shoot("2-list");
    }
    await ui.close(block);
  }
}

async function customers(api) {
  const reply = await fetch(`${api}/customers?pageSize=1`, { headers: { Authorization: `Bearer ${service.token}` } });
  return (await reply.json()).total;
}

async function createByTwoClicks(ui, shoot) {
  for (const create of CREATED)
    await ui.twoClicks(create, async (block, { status, requestId, shown }) => {
      assert.equal(status, 201, `${create}: ${shown}`);
      assert.match(requestId, UUID);
      if (create === "createContact") await shoot("3-created");
    });
}

// A second click, and every example of a body, not only the first.
async function createMore(ui) {
  for (const create of CREATED)
    await ui.twoClicks(create, async (block, { status, requestId, shown }) => {
      assert.equal(status, 201, `${create}: ${shown}`);
      const again = await ui.execute(block);
      assert.equal(again.status, 201, `${create}, a second time: ${again.shown}`);
      assert.notEqual(again.requestId, requestId, `${create}: the second click has the same request id`);
      await block.locator(".examples-select-element").first().selectOption("complete");
      const complete = await ui.execute(block);
      assert.equal(complete.status, 201, `${create}, complete: ${complete.shown} ${JSON.stringify(complete.sent)}`);
    });
}

async function expectTwoClicks(ui, expected) {
  for (const [operation, status] of Object.entries(expected)) {
    const seen = await ui.twoClicks(operation);
    assert.equal(seen.status, status, `${operation}: ${seen.shown}`);
  }
}

// The id of what is not there, and the body of the error; an own request id, which stays and is refused the second time.
async function errors(ui, name, { expectStatus, shoot }) {
  expectStatus(404);
  const get = await ui.tryOut("getCustomer");
  await ui.field(get, "customer_id").fill("019c1363-4a3d-76c4-9863-875e34487ca3");
  const { status, shown } = await ui.execute(get);
  assert.equal(status, 404);
  assert.match(shown, /"code": "NOT_FOUND"[^]*"requestId"/);
  await get.locator(".live-responses-table").first().scrollIntoViewIfNeeded();
  await shoot("4-error");
  await ui.close(get);
  expectStatus(409);
  const create = await ui.tryOut("createCustomer");
  await ui.field(create, "X-Request-ID").fill(`own-${name}`);
  assert.equal((await ui.execute(create)).status, 201);
  const duplicate = await ui.execute(create);
  assert.deepEqual([duplicate.status, duplicate.requestId, duplicate.body.code], [409, `own-${name}`, "IDEMPOTENT_CONFLICT"]);
}

async function openAuthorized(ui, address, shoot) {
  await ui.open(address);
  assert.equal(await ui.page.title(), "CRM API – Try it out");
  assert.equal(await ui.page.evaluate(() => document.compatMode), "CSS1Compat");
  await shoot("1-opened");
  await ui.authorize(service.token);
  assert.ok(await ui.isAuthorized());
  await ui.reload();
  assert.ok(await ui.isAuthorized(), "the token is gone after a reload");
}

// What everybody does first, wherever the page is.
async function swaggerUi(name, address) {
  const api = address.replace(/\/docs\/?$/, "");
  await visit(name, async (page, { expectStatus, shoot }) => {
    const ui = new SwaggerUi(page);
    await openAuthorized(ui, address, shoot);
    assert.equal(await page.locator(".servers select").inputValue(), api);
    await listsUntouched(ui, api, shoot);
    await expectTwoClicks(ui, { getContact: 200 });
    await createByTwoClicks(ui, shoot);
    await errors(ui, name, { expectStatus, shoot });
  });
}

// The first two clicks on every other operation.
async function everyOperation(name, address) {
  await visit(name, async (page, { expectStatus, shoot }) => {
    const ui = new SwaggerUi(page);
    await openAuthorized(ui, address, shoot);
    // Nothing is changed that nobody has chosen.
    for (const [change, id] of Object.entries({ deleteCustomer: "customer_id", updateContact: "contact_id", eraseCustomer: "customer_id" }))
      await ui.executeRefused(change, id);
    await expectTwoClicks(ui, { getHealth: 200, getLiveness: 200, getReadiness: 200 });
    // Of a change that somebody else has made, and of one that was made here.
    await expectTwoClicks(ui, { getRequest: 200, findRequest: 200 });
    await createMore(ui);
    await expectTwoClicks(ui, { getRequest: 200, findRequest: 200, exportCustomer: 200 });
    await expectTwoClicks(ui, { getCustomer: 200, getContact: 200, getOpportunity: 200, getFollowUp: 200 });
    await expectTwoClicks(ui, { updateCustomer: 200, updateContact: 200, updateOpportunity: 200, updateFollowUp: 200 });
    expectStatus(404);
    // What somebody else has deleted is forgotten, and another one is found.
    await ui.twoClicks("getFollowUp", (_, { url }) => fetch(url, { method: "DELETE", headers: { Authorization: `Bearer ${service.token}` } }));
    await expectTwoClicks(ui, { getFollowUp: 404 });
    await expectTwoClicks(ui, { getFollowUp: 200 });
    await expectTwoClicks(ui, { getErasure: 404, eraseCustomer: 201 });
    await expectTwoClicks(ui, { deleteFollowUp: 204, deleteOpportunity: 204, deleteContact: 204, deleteCustomer: 204 });
    await ui.executeRefused("deleteCustomer", "customer_id");
    // What is deleted with its customer is forgotten, too.
    await expectTwoClicks(ui, { createCustomer: 201, createContact: 201, deleteCustomer: 204 });
    await ui.executeRefused("deleteContact", "contact_id");
  });
}

// A form that stays open is filled in anew for the next caller, who may belong to another tenant.
async function anotherCaller(address) {
  await visit("another-caller", async (page) => {
    const ui = new SwaggerUi(page);
    await ui.open(address);
    await ui.authorize(`Bearer ${service.token}`);
    const get = await ui.tryOut("getCustomer");
    const create = await ui.tryOut("createContact");
    const filled = await ui.field(get, "customer_id").inputValue();
    assert.notEqual(filled, "");
    const body = create.locator(".body-param__text");
    assert.ok((await body.inputValue()).includes(filled));
    const wait = (caller, expected) =>
      page.waitForFunction(
        ([id, value]) => document.querySelector(`tr[data-param-name="${id}"] input`).value === value,
        ["customer_id", expected],
      ).catch(() => assert.fail(`${caller}: the id is not ${expected || "cleared"}`));
    await ui.logOut();
    await wait("nobody", "");
    assert.ok(!(await body.inputValue()).includes(filled), "the body names what only the former caller sees");
    await ui.authorize(service.token);
    await wait("the next", filled);
    assert.equal((await ui.execute(get)).status, 200);
    assert.equal((await ui.execute(create)).status, 201);
  });
}

// Whoever has no token is told so, and sees nothing filled in.
async function withoutToken(address) {
  await visit("without-token", async (page, { expectStatus, shoot }) => {
    const ui = new SwaggerUi(page);
    await ui.open(address);
    expectStatus(401);
    await ui.twoClicks("listCustomers", async (block, { status, shown }) => {
      assert.equal(status, 401);
      assert.match(shown, /"code": "UNAUTHORIZED"/);
      await block.scrollIntoViewIfNeeded();
      await shoot("1-refused");
    });
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
    await page.getByText("Search", { exact: false }).first().click();
    await page.keyboard.type("erasure");
    await page.getByText("Get the certificate of an erasure", { exact: false }).last().waitFor();
    await shoot("redoc-search");
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
  await anotherCaller(`${service.direct}/docs`);
  await render("direct", service.direct);
  await render("gateway", `${service.direct}/api/v1/crm`);
  await render("nginx-strips", `${service.proxied}/other/prefix`);
  await render("nginx-replaces", `${service.proxied}/cells/crm`);
  await everyOperation("every-operation", `${service.direct}/docs`);
  await swaggerUi("docs", `${service.direct}/docs`);
  await swaggerUi("docs-gateway", `${service.direct}/api/v1/crm/docs`);
  await swaggerUi("docs-nginx", `${service.proxied}/other/prefix/docs/`);
} catch (error) {
  console.error(`FAILED: ${error.stack}`);
  code = 1;
} finally {
  await browser.close();
  service.stop();
}
process.exit(code);

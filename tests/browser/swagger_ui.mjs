// What a newcomer does with Swagger UI, as steps.
import assert from "node:assert/strict";

export class SwaggerUi {
  constructor(page) {
    this.page = page;
  }

  async open(address) {
    await this.page.goto(address);
    await this.loaded();
  }

  async reload() {
    await this.page.reload();
    await this.loaded();
  }

  async loaded() {
    await this.page.locator(".opblock").first().waitFor();
  }

  isAuthorized() {
    return this.page.locator(".btn.authorize").first().evaluate((button) => button.classList.contains("locked"));
  }

  async authorize(token) {
    await this.page.locator(".btn.authorize").first().click();
    await this.page.locator(".auth-container input").fill(token);
    await this.page.locator(".auth-btn-wrapper .authorize").click();
    await this.page.locator(".auth-btn-wrapper .btn-done").click();
  }

  async logOut() {
    await this.page.locator(".btn.authorize").first().click();
    await this.page.locator(".auth-btn-wrapper button", { hasText: "Logout" }).click();
    await this.page.locator(".auth-btn-wrapper .btn-done").click();
  }

  operation(id) {
    return this.page.locator(`.opblock[id$="-${id}"]`);
  }

  // Opens an operation where it is not open yet, and presses *Try it out*.
  async tryOut(id) {
    const block = this.operation(id);
    if ((await block.locator(".opblock-body").count()) === 0) await block.locator(".opblock-summary-control").click();
    await block.locator(".btn.execute, .btn.try-out__btn:not(.cancel)").first().waitFor();
    // It is still so where the operation was closed in between.
    if (await block.locator(".try-out__btn.cancel").count()) await block.locator(".try-out__btn.cancel").click();
    await block.locator(".btn.try-out__btn:not(.cancel)").click();
    await block.locator(".btn.execute").waitFor();
    return block;
  }

  // What stands in the fields of an operation, by the name of the parameter.
  async fields(block) {
    const rows = await block.locator("tr[data-param-name]").all();
    const values = {};
    for (const row of rows) {
      const field = row.locator("input, select, textarea").first();
      if (await field.count()) values[await row.getAttribute("data-param-name")] = await field.inputValue();
    }
    return values;
  }

  field(block, name) {
    return block.locator(`tr[data-param-name="${name}"] input`);
  }

  // Presses *Execute*: what was sent, what came back, and what the page shows of it.
  async execute(block) {
    const sent = this.page.waitForEvent("requestfinished", { predicate: (request) => !/\/assets\/|openapi\.json/.test(request.url()) });
    await block.locator(".btn.execute").click();
    const request = await sent;
    const response = await request.response();
    const live = block.locator(".live-responses-table tbody tr.response").first();
    await live.locator(".response-col_status", { hasText: String(response.status()) }).waitFor();
    const text = await response.text().catch(() => "");
    return {
      url: new URL(request.url()),
      requestId: request.headers()["x-request-id"],
      sent: request.postDataJSON(),
      status: response.status(),
      body: text && JSON.parse(text),
      shown: await live.innerText(),
    };
  }

  // The two clicks, and nothing else. The page is slow where many operations are open, so this one is closed again.
  async twoClicks(id, look = () => {}) {
    const block = await this.tryOut(id);
    const seen = await this.execute(block);
    await look(block, seen);
    await this.close(block);
    return seen;
  }

  async close(block) {
    await block.locator(".opblock-summary-control").click();
    await block.locator(".opblock-body").waitFor({ state: "detached" });
  }

  // Presses *Execute* where something is missing: nothing is sent, and the field is marked.
  async executeRefused(id, name) {
    const block = await this.tryOut(id);
    let sent = 0;
    const count = () => (sent += 1);
    this.page.on("request", count);
    await block.locator(".btn.execute").click();
    await block.locator(`tr[data-param-name="${name}"] input.invalid`).waitFor();
    this.page.off("request", count);
    assert.equal(sent, 0, `${id} was sent without ${name}`);
    await this.close(block);
  }
}

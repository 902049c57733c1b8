// The contract, with the addresses that are right where this page is served, behind whatever gateway.
const root = new URL(`${document.body.dataset.root}/`, location.href);

async function contract() {
  const text = await (await fetch(new URL("openapi.json", root))).text();
  const base = `](${JSON.parse(text).servers[0].url}/`;
  const spec = JSON.parse(text.replaceAll(base, `](${root.href}`));
  spec.servers = [{ url: root.href.replace(/\/$/, ""), description: "Where this page is served" }];
  // Both lead to this page.
  delete spec.externalDocs;
  delete spec.info.contact.url;
  return spec;
}


// At the foot of its menu Redoc shows its maker's logo, an image from another site, which this page may not load. A word
// replaces it.
const word = '<svg xmlns="http://www.w3.org/2000/svg" width="44" height="12"><text y="10" font-family="sans-serif" font-size="11">Redocly</text></svg>';
const image = HTMLImageElement.prototype;
image.setAttribute = function (name, value) {
  const isForeign = name === "src" && ![location.origin, "null"].includes(new URL(value, location.href).origin);
  Element.prototype.setAttribute.call(this, name, isForeign ? `data:image/svg+xml,${encodeURIComponent(word)}` : value);
};
const { get } = Object.getOwnPropertyDescriptor(image, "src");
Object.defineProperty(image, "src", { get, set(value) { this.setAttribute("src", value); } });

const { library } = document.querySelector("script[data-library]").dataset;
const { init } = await import(new URL(library, location.href));
const options = { disableTelemetry: true, router: "hash", hideDownloadButtons: true };
init(await contract(), options, document.getElementById("redoc"));

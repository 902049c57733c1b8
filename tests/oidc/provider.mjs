// An OpenID provider (npm oidc-provider) on loopback, with one client for each kind of token. Started by check.mjs, which has
// it rotate its keys by a message: the new key signs at once, and the one before stays in the key set.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";

// It warns that it is for development, at each rotation.
console.warn = console.info = () => {};
const { default: Provider } = await import("oidc-provider");

const [port, kind] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const audience = "crm";

// The key pairs differ in kind from one rotation to the next.
const kinds = [
  ["RS256", () => generateKeyPairSync("rsa", { modulusLength: 2048 })],
  ["ES256", () => generateKeyPairSync("ec", { namedCurve: "P-256" })],
  ["PS256", () => generateKeyPairSync("rsa", { modulusLength: 2048 })],
  ["EdDSA", () => generateKeyPairSync("ed25519")],
];
let keys = [];
let handle;

function rotate() {
  const [alg, generate] = kinds[Number(kind ?? 0) % kinds.length];
  kinds.push(kinds.shift());
  const key = { ...generate().privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg };
  keys = [key, ...keys.slice(0, 1)];
  const client = (client_id, client_secret) => ({
    client_id,
    client_secret,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
    // Those who have no key of the default algorithm must say so.
    id_token_signed_response_alg: alg,
  });
  const provider = new Provider(issuer, {
    clients: [client("reader", "only on loopback"), client("crm", "s3cret: of/crm")],
    jwks: { keys },
    enabledJWA: {
      idTokenSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA"],
      requestObjectSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA"],
    },
    scopes: ["crm:read", "crm:write"],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: async () => true },
      resourceIndicators: {
        enabled: true,
        // Asked for with a resource, an access token is a JSON Web Token (RFC 9068); without, it is opaque.
        defaultResource: () => undefined,
        getResourceServerInfo: async () => ({
          scope: "crm:read crm:write",
          audience,
          accessTokenFormat: "jwt",
          accessTokenTTL: 300,
          jwt: { sign: { alg } },
        }),
      },
    },
    extraTokenClaims: async () => ({ tenant: "acme" }),
    ttl: { ClientCredentials: 300 },
  });
  provider.on("server_error", (_, error) => console.error("provider:", error.message));
  handle = provider.callback();
  return key.kid;
}

process.on("message", (message) => {
  if (message === "rotate") process.send({ rotated: rotate() });
});
process.on("disconnect", () => process.exit(0));
rotate();
createServer((request, response) => handle(request, response)).listen(Number(port), "127.0.0.1", () => {
  process.send("listening");
});

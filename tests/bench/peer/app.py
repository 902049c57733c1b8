"""What `make bench` compares the service with: customers served by FastAPI as well as it can be done there, with raw SQL on prepared
statements, on SQLite (in the process, by one thread) or PostgreSQL (asyncpg).

It keeps the rules that cost something: a verified token, the tenant, a total with each list, 409 where a request id comes again.
PEER_DURABLE=1: as the service does, each write is on disk before it is answered (synchronous FULL), with a row in an audit trail
and a row for its event. PEER_DURABLE=0: as such services are deployed, with neither and with synchronous NORMAL. In both, personal
data is stored in clear.
"""

import os
import sqlite3
import time
import uuid
from contextlib import asynccontextmanager
from datetime import datetime, timezone

import jwt
import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response

SECRET = os.environ["CRM_JWT_SECRET"]
URL = os.environ.get("CRM_DATABASE_URL", "")
DURABLE = os.environ.get("PEER_DURABLE", "1") == "1"

TABLES = """
CREATE TABLE IF NOT EXISTS customers (
  tenant_id text NOT NULL, customer_id text NOT NULL, name text NOT NULL, contact_phone text, contact_email text,
  status integer NOT NULL DEFAULT 0, created_at text NOT NULL, updated_at text NOT NULL, version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (tenant_id, customer_id));
CREATE INDEX IF NOT EXISTS customers_by_creation ON customers (tenant_id, created_at DESC, customer_id);
CREATE INDEX IF NOT EXISTS customers_by_phone ON customers (tenant_id, contact_phone);
CREATE INDEX IF NOT EXISTS customers_by_email ON customers (tenant_id, contact_email);
CREATE TABLE IF NOT EXISTS requests (tenant_id text NOT NULL, request_id text NOT NULL, customer_id text NOT NULL,
  created_at text NOT NULL, PRIMARY KEY (tenant_id, request_id));
CREATE TABLE IF NOT EXISTS audit (tenant_id text NOT NULL, id text NOT NULL, at text NOT NULL, actor text NOT NULL,
  action text NOT NULL, resource_id text NOT NULL, request_id text NOT NULL, changes text NOT NULL, PRIMARY KEY (tenant_id, id));
CREATE INDEX IF NOT EXISTS audit_by_time ON audit (tenant_id, at DESC);
CREATE INDEX IF NOT EXISTS audit_by_resource ON audit (tenant_id, resource_id, at DESC);
CREATE TABLE IF NOT EXISTS events (id {serial}, tenant_id text NOT NULL, type text NOT NULL, at text NOT NULL, data text NOT NULL);
"""

COLUMNS = "customer_id, name, contact_phone, contact_email, status, created_at, updated_at, version"
GET = f"SELECT {COLUMNS} FROM customers WHERE tenant_id = $1 AND customer_id = $2"
COUNT = "SELECT count(*) FROM customers WHERE tenant_id = $1"
LIST = f"SELECT {COLUMNS} FROM customers WHERE tenant_id = $1 ORDER BY created_at DESC, customer_id LIMIT $2 OFFSET $3"
CLAIM = "INSERT INTO requests VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
INSERT = f"INSERT INTO customers (tenant_id, {COLUMNS}) VALUES ($1, $2, $3, $4, $5, 0, $6, $6, 1)"
PATCH = "UPDATE customers SET name = $3, updated_at = $4, version = version + 1 WHERE tenant_id = $1 AND customer_id = $2" \
    f" RETURNING {COLUMNS}"
AUDIT = "INSERT INTO audit VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
EVENT = "INSERT INTO events (tenant_id, type, at, data) VALUES ($1, $2, $3, $4)"


class Sqlite:
    """One connection, used by the one thread of the process: there is nothing to wait for but the disk."""

    async def open(self):
        path = os.path.join(os.environ["CRM_DATA_DIR"], "peer.db")
        self.db = sqlite3.connect(path, isolation_level=None, cached_statements=256, check_same_thread=False)
        for pragma in ("journal_mode = WAL", f"synchronous = {'FULL' if DURABLE else 'NORMAL'}", "cache_size = -65536",
                       "mmap_size = 1073741824", "temp_store = MEMORY", "wal_autocheckpoint = 10000"):
            self.db.execute(f"PRAGMA {pragma}")
        self.db.executescript(TABLES.format(serial="integer PRIMARY KEY"))
        self.sql = {sql: sql.replace("$", "?") for sql in (GET, COUNT, LIST, CLAIM, INSERT, PATCH, AUDIT, EVENT)}

    async def row(self, sql, *values):
        return self.db.execute(self.sql[sql], values).fetchone()

    async def rows(self, sql, *values):
        return self.db.execute(self.sql[sql], values).fetchall()

    async def write(self, work):
        self.db.execute("BEGIN IMMEDIATE")
        try:
            answer = await work(self.execute, self.row)
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")
        return answer

    async def execute(self, sql, *values):
        return self.db.execute(self.sql[sql], values).rowcount


class Postgres:
    async def open(self):
        import asyncpg
        settings = {} if DURABLE else {"synchronous_commit": "off"}
        self.pool = await asyncpg.create_pool(URL, min_size=8, max_size=8, server_settings=settings)
        await self.pool.execute(TABLES.format(serial="bigserial PRIMARY KEY"))

    async def row(self, sql, *values):
        async with self.pool.acquire() as connection:
            return await connection.fetchrow(sql, *values)

    async def rows(self, sql, *values):
        async with self.pool.acquire() as connection:
            return await connection.fetch(sql, *values)

    async def write(self, work):
        async with self.pool.acquire() as connection:
            async def execute(sql, *values):
                return int((await connection.execute(sql, *values)).rsplit(" ", 1)[1])

            async with connection.transaction():
                return await work(execute, connection.fetchrow)


database = Postgres() if URL.startswith("postgres") else Sqlite()


@asynccontextmanager
async def lifespan(_app):
    await database.open()
    yield


app = FastAPI(lifespan=lifespan, openapi_url=None)
verified = {}


class Refused(Exception):
    def __init__(self, status, code, message):
        self.status, self.code, self.message = status, code, message


@app.exception_handler(Refused)
async def refused(_request, error):
    return answer({"code": error.code, "message": error.message}, error.status)


def answer(body, status=200):
    return Response(orjson.dumps(body), status, media_type="application/json")


def caller(request):
    """The tenant and the subject of a verified token. Tokens are verified once a minute."""
    token = request.headers.get("authorization", "")[7:]
    known = verified.get(token)
    if known is None or known[1] < time.monotonic():
        try:
            claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_aud": False})
        except jwt.InvalidTokenError as error:
            raise Refused(401, "INVALID_TOKEN", str(error)) from error
        if len(verified) > 10000:
            verified.clear()
        known = verified[token] = (claims.get("sub", ""), time.monotonic() + 60)
    return request.headers.get("x-tenant-id", "default"), known[0]


def shown(row):
    phone, email = row[2], row[3]
    return {
        "customerId": row[0], "name": row[1], "contactPhone": phone and f"{phone[:3]}****{phone[-4:]}",
        "contactEmail": email and f"{email[:1]}***@{email.partition('@')[2]}", "status": row[4], "createdAt": row[5],
        "updatedAt": row[6], "version": row[7],
    }


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@app.get("/health")
async def health():
    return answer({"status": "ok"})


@app.get("/customers/{customer_id}")
async def get(request: Request, customer_id: str):
    tenant, _ = caller(request)
    row = await database.row(GET, tenant, customer_id)
    if row is None:
        raise Refused(404, "NOT_FOUND", "no such customer")
    return answer(shown(row))


@app.get("/customers")
async def list_customers(request: Request, page: int = 1, pageSize: int = 20):
    tenant, _ = caller(request)
    size = min(max(pageSize, 1), 100)
    (total,) = await database.row(COUNT, tenant)
    rows = await database.rows(LIST, tenant, size, (page - 1) * size)
    return answer({"data": [shown(row) for row in rows], "total": total, "page": page, "pageSize": size})


async def recorded(execute, tenant, actor, action, customer, request_id, at, changes):
    if DURABLE:
        changes = orjson.dumps(changes).decode()
        await execute(AUDIT, tenant, str(uuid.uuid4()), at, actor, action, customer, request_id, changes)
        await execute(EVENT, tenant, f"crm.customer.{action}d", at, changes)


def request_id_of(request):
    request_id = request.headers.get("x-request-id")
    if not request_id:
        raise Refused(400, "INVALID_PARAM", "X-Request-ID: is required")
    return request_id


@app.post("/customers")
async def create(request: Request):
    tenant, actor = caller(request)
    request_id, body = request_id_of(request), orjson.loads(await request.body())
    name, phone, email = body.get("name"), body.get("contactPhone"), body.get("contactEmail")
    if not isinstance(name, str) or not name.strip():
        raise Refused(400, "INVALID_PARAM", "name: is required")
    customer, at = str(uuid.uuid4()), now()

    async def work(execute, _row):
        if await execute(CLAIM, tenant, request_id, customer, at) == 0:
            raise Refused(409, "IDEMPOTENT_CONFLICT", "X-Request-ID: was used before")
        await execute(INSERT, tenant, customer, name, phone, email, at)
        await recorded(execute, tenant, actor, "create", customer, request_id, at, ["name", "contactPhone", "contactEmail"])

    await database.write(work)
    return answer(shown((customer, name, phone, email, 0, at, at, 1)), 201)


@app.patch("/customers/{customer_id}")
async def patch(request: Request, customer_id: str):
    tenant, actor = caller(request)
    request_id, body = request_id_of(request), orjson.loads(await request.body())
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        raise Refused(400, "INVALID_PARAM", "name: must not be empty")
    at = now()

    async def work(execute, row):
        if await execute(CLAIM, tenant, request_id, customer_id, at) == 0:
            raise Refused(409, "IDEMPOTENT_CONFLICT", "X-Request-ID: was used before")
        changed = await row(PATCH, tenant, customer_id, name, at)
        if changed is None:
            raise Refused(404, "NOT_FOUND", "no such customer")
        await recorded(execute, tenant, actor, "update", customer_id, request_id, at, ["name"])
        return changed

    return answer(shown(await database.write(work)))

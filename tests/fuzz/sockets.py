"""Fuzzes a service over raw sockets: sockets.py PORT PID SECONDS, with two tenants' tokens in OWNER and STRANGER.

What it sends: requests of the right form with bytes changed, heads and bodies that contradict themselves, frames of HTTP/2,
tokens that were tampered with, and a stranger's requests for what belongs to the owner. What must hold all the while: no
status of 5xx; nothing of the owner's in a reply to anybody else; each error has the one body and X-Response-Time; /health
answers; the memory stays within bounds. SEED repeats a run, as far as threads let it.
"""

import base64, collections, http.client, json, os, random, re, socket, struct, sys, threading, time

PORT, PID, SECONDS = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
OWNER, STRANGER = os.environ["OWNER"], os.environ["STRANGER"]
SEED = int(os.environ.get("SEED", time.time_ns() % 2**32))
THREADS = 4
CANARY, PHONE, MAIL = "Kanarienvogel", "13912345678", "canary.bird@example.com"
# Generous, for a slow machine: what is looked for is a service that no longer answers.
HEALTH_SECONDS, MEMORY_MB = 10, 250

failures, counts, lock = [], collections.Counter(), threading.Lock()
slowest = 0.0
ids = {}


def fail(what, sent=b"", received=b""):
    with lock:
        failures.append(f"{what}\n  sent: {sent[:600]!r}\n  received: {received[:600]!r}")


def call(method, path, token, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "X-Request-ID": f"setup-{random.getrandbits(64)}"}
    connection.request(method, f"/api/v1/crm{path}", json.dumps(body) if body is not None else None, headers)
    reply = connection.getresponse()
    return reply.status, json.loads(reply.read() or b"null")


def set_up():
    _, customer = call("POST", "/customers", OWNER, {"name": CANARY, "contactPhone": PHONE, "contactEmail": MAIL})
    ids["customers"] = customer["customerId"]
    for collection, body in [
        ("contacts", {"customerId": ids["customers"], "name": CANARY, "phone": PHONE, "email": MAIL}),
        ("opportunities", {"customerId": ids["customers"], "title": CANARY}),
        ("follow-ups", {"customerId": ids["customers"], "content": CANARY}),
    ]:
        status, resource = call("POST", f"/{collection}", OWNER, body)
        assert status == 201, (status, resource)
        ids[collection] = next(iter(resource.values()))


def talk(data, r, patience=None):
    """Sends data in pieces, and reads what comes back until the service is silent for so many seconds or closes."""
    received = b""
    try:
        with socket.create_connection(("127.0.0.1", PORT), timeout=5) as s:
            for piece in pieces(data, r):
                s.sendall(piece)
            if patience is None and r.random() < 0.5:
                s.shutdown(socket.SHUT_WR)
            s.settimeout(patience or r.choice([0.05, 0.3]))
            while len(received) < 1_000_000:
                got = s.recv(65536)
                if not got:
                    break
                received += got
    except (TimeoutError, ConnectionError, BrokenPipeError):
        pass
    except OSError as error:
        fail(f"a socket failed: {error}", data)
    return received


def pieces(data, r):
    if r.random() < 0.7 or len(data) < 2:
        return [data]
    cuts = sorted(r.sample(range(1, len(data)), min(len(data) - 1, r.randint(1, 4))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]


def check(kind, data, received, may_see=False):
    statuses = re.findall(rb"HTTP/1\.[01] (\d{3})", received)
    with lock:
        counts[kind] += 1
        for status in statuses or [b"closed"]:
            counts[f"{kind} {status.decode()}"] += 1
    if not may_see:
        for canary in (CANARY, PHONE, MAIL, "139****5678", "c***@example.com"):
            if canary.encode() in received and canary.encode() not in data:
                fail(f"{kind}: a reply shows what belongs to the owner", data, received)
    for head, status in re.findall(rb"(HTTP/1\.[01] (\d{3})[^\r]*\r\n(?:[^\r\n]+\r\n)*)", received):
        if status >= b"500":
            fail(f"{kind}: {status.decode()}", data, received)
        if status >= b"400" and (b"x-response-time:" not in head.lower() or b"application/json" not in head.lower()):
            fail(f"{kind}: a {status.decode()} without its headers", data, received)


METHODS = [b"GET", b"POST", b"PATCH", b"DELETE", b"PUT", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"G\x00T", b"", b"X" * 300]
PATHS = [
    b"/health", b"/customers", b"/contacts", b"/opportunities", b"/follow-ups", b"/events", b"/audit-logs", b"/docs", b"/openapi.yaml",
    b"/metrics", b"*", b"//", b"/%00", b"/customers/%2e%2e/customers", b"/customers/x?y=\xff", b"http://other/customers", b"/" + b"a" * 20000,
    b"/customers?page=" + b"9" * 400, b"/customers?" + b"a=b&" * 3000, b"/events?types=" + b"crm.a.b," * 2000, b"/events?after=v1zzzz",
]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.10", b"http/1.1", b""]


def headers(r, token):
    """Some of the headers that matter, some of them twice, some of them wrong."""
    body = r.choice([b"{}", b'{"name":"x"}', b'{"name":' * 50, b"\xef\xbb\xbf{}", b"[1]", b"", b"x" * 5000, b'{"name":"\\ud800"}'])
    lines = [
        b"Host: crm", b"Authorization: Bearer " + token, b"X-Request-ID: fuzz-%d" % r.getrandbits(60), b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
    ]
    odd = [
        b"Host: other", b"Host:", b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 1, 2",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"Expect: 100-continue", b"Expect: nonsense", b"Connection: close",
        b"Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", b"Upgrade: websocket", b"X-Tenant-Id: owner", b"X-Tenant-Id: a\r\nX-Tenant-Id: b",
        b"X-Tenant-Id: \xff", b"X-Request-ID: ", b"Authorization: Basic eDp5", b"Authorization: Bearer", b"Authorization:\tBearer x.y.z", b"Content-Encoding: gzip",
        b"Content-Type: text/plain", b"Content-Type: application/json;charset=utf-16", b"A" * r.choice([10, 40000, 70000]) + b": x", b"X: " + b"y" * r.choice([10, 40000, 70000]),
        b": nameless", b"No colon", b" folded: x", b"X: a\r\n folded", b"X: \x00", b"X: a\nY: b", b"Range: bytes=0-1", b"If-None-Match: *", b"traceparent: 00-zz", b"Origin: null",
        b"Accept-Encoding: gzip;q=nan", b"TE: trailers", b"Max-Forwards: 0",
    ]
    for _ in range(r.choice([0, 1, 1, 2, 3])):
        lines.insert(r.randint(0, len(lines)), r.choice(odd))
    for _ in range(r.choice([0, 0, 0, 1, 2])):
        lines.pop(r.randrange(len(lines)))
    if r.random() < 0.02:
        lines += [b"X-%d: y" % n for n in range(r.choice([99, 150, 2000]))]
    return lines, body


def chunked(body, r):
    size = r.choice([b"%x" % len(body), b"ffffffffffffffff", b"-1", b"g", b"%x;ext=\"%s\"" % (len(body), b"e" * 5000), b"0x5"])
    return size + r.choice([b"\r\n", b"\n", b"\r\n\r\n"]) + body + b"\r\n" + r.choice([b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n", b"", b"0\r\n"])


def request(r, token):
    lines, body = headers(r, token)
    if b"chunked" in b"".join(lines) and r.random() < 0.7:
        body = chunked(body, r)
    path = r.choice(PATHS)
    if path.startswith(b"/") and r.random() < 0.5:
        path = b"/api/v1/crm" + path
    first = r.choice(METHODS[:5] if r.random() < 0.7 else METHODS) + b" " + path + b" " + r.choice(VERSIONS)
    end = r.choice([b"\r\n", b"\r\n", b"\r\n", b"\n"])
    return first + end + end.join(lines) + end + end + body


def mutated(data, r):
    data = bytearray(data)
    for _ in range(r.choice([0, 1, 2, 8])):
        at = r.randrange(len(data) or 1)
        match r.randrange(4):
            case 0 if data:
                data[min(at, len(data) - 1)] = r.randrange(256)
            case 1:
                data[at:at] = bytes(r.randrange(256) for _ in range(r.randint(1, 5)))
            case 2:
                del data[at : at + r.randint(1, 10)]
            case 3:
                data[at:at] = data[at : at + r.randint(1, 60)]
    return bytes(data)


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind & 255, flags & 255]) + struct.pack(">I", stream & 0xFFFFFFFF) + payload


def hpack(fields):
    """Literal fields without indexing (RFC 7541, section 6.2.2), for short names and values."""
    out = b""
    for name, value in fields:
        out += b"\x00" + bytes([len(name) & 127]) + name + (bytes([len(value)]) if len(value) < 127 else b"\x7f" + varint(len(value) - 127)) + value
    return out


def varint(number):
    out = b""
    while number >= 128:
        out, number = out + bytes([number % 128 + 128]), number // 128
    return out + bytes([number])


def http2(r, token):
    data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
    for n in range(r.randint(1, 40)):
        stream = r.choice([2 * n + 1, 2 * n + 1, 1, 0, 2, 2**31 - 1])
        fields = [(b":method", r.choice([b"GET", b"POST"])), (b":path", r.choice([b"/health", b"/customers", b"/docs"])), (b":scheme", b"http"), (b":authority", b"crm")]
        fields += [(b"authorization", b"Bearer " + token)] if r.random() < 0.7 else [(b"Upper", b"x")]
        fields += [(b"x-filler", b"y" * r.choice([1, 1000, 20000]))] if r.random() < 0.2 else []
        data += r.choice([
            frame(1, 5, stream, hpack(fields)), frame(1, 5, stream, hpack(fields)), frame(1, 4, stream, hpack(fields)), frame(1, 0, stream, hpack(fields)),
            frame(0, r.choice([0, 1, 8]), stream, b"{}" * r.randint(0, 500)), frame(3, 0, stream, struct.pack(">I", 8)), frame(6, 0, 0, b"12345678"),
            frame(8, 0, stream, struct.pack(">I", r.choice([0, 1, 2**31 - 1]))), frame(4, 0, 0, struct.pack(">HI", r.randrange(8), r.getrandbits(32))),
            frame(9, r.choice([0, 4]), stream, bytes(r.randrange(256) for _ in range(30))), frame(r.randrange(256), r.randrange(256), stream, b"x" * r.randrange(100)),
            frame(2, 0, stream, b"12345"), frame(7, 0, 0, b"12345678"),
        ])
    return data


def tampered(token, r):
    head, claims, signature = token.split(".")
    parts = [head, claims, signature]
    match r.randrange(6):
        case 0:
            parts[0] = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
            parts[2] = r.choice(["", signature])
        case 1:
            decoded = json.loads(base64.urlsafe_b64decode(claims + "=="))
            decoded[r.choice(["tenant_id", "exp", "scope", "sub"])] = r.choice(["owner", ["owner"], 1e300, None, {}, "crm:pii:read"])
            parts[1] = base64.urlsafe_b64encode(json.dumps(decoded).encode()).rstrip(b"=").decode()
        case 2:
            parts[r.randrange(3)] += r.choice(["A", "=", "\xff", "A" * 9000])
        case 3:
            at = r.randrange(3)
            where = r.randrange(len(parts[at]))
            # Not the last character of a part, some of whose bits mean nothing.
            where = min(where, len(parts[at]) - 2)
            parts[at] = parts[at][:where] + ("A" if parts[at][where] != "A" else "B") + parts[at][where + 1 :]
        case 4:
            parts = [base64.urlsafe_b64encode(b'{"alg":"HS256","x":' + b"[" * 2000 + b"]" * 2000 + b"}").rstrip(b"=").decode(), "e30", "AAAA"]
        case 5:
            parts = parts[: r.randrange(3)]
    return ".".join(parts).encode("latin-1")


def ask(method, path, token, r, body=None):
    body = json.dumps(body).encode() if body is not None else b""
    lines = [b"Host: crm", b"Authorization: Bearer " + token, b"X-Request-ID: fuzz-%d" % r.getrandbits(60), b"Content-Length: %d" % len(body), b"Connection: close"]
    lines += [b"Content-Type: application/json"] if body else []
    return method + b" /api/v1/crm" + path + b" HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body


def strange(r):
    """A stranger's request for what belongs to the owner, which must be answered as if it did not exist."""
    collection = r.choice(list(ids))
    at = f"/{collection}/{ids[collection]}".encode()
    customer = ids["customers"]
    return r.choice([
        ask(b"GET", at, STRANGER.encode(), r), ask(b"DELETE", at, STRANGER.encode(), r), ask(b"PATCH", at, STRANGER.encode(), r, {"name": "x"}),
        ask(b"GET", f"/{collection}?customerId={customer}".encode(), STRANGER.encode(), r), ask(b"GET", b"/customers?contactPhone=" + PHONE.encode(), STRANGER.encode(), r),
        ask(b"POST", b"/contacts", STRANGER.encode(), r, {"customerId": customer, "name": "x"}), ask(b"POST", b"/follow-ups", STRANGER.encode(), r, {"contactId": ids["contacts"], "content": "x"}),
        ask(b"GET", b"/events?limit=1000", STRANGER.encode(), r), ask(b"GET", b"/audit-logs?resourceId=" + ids[collection].encode(), STRANGER.encode(), r),
        ask(b"GET", at, STRANGER.encode(), r).replace(b"Host: crm", b"Host: crm\r\nX-Tenant-Id: owner"),
        ask(b"POST", f"/customers/{customer}/erasure".encode(), STRANGER.encode(), r, {}), ask(b"GET", f"/customers/{customer}/export".encode(), STRANGER.encode(), r),
    ])


def work(number, until):
    r = random.Random(SEED + number)
    while time.monotonic() < until and len(failures) < 10:
        token = r.choice([STRANGER.encode(), b"x.y.z", b""])
        match r.randrange(6):
            case 0:
                data = request(r, token)
                check("odd", data, talk(data, r))
            case 1:
                data = mutated(request(r, token), r)
                check("mutated", data, talk(data, r))
            case 2:
                data = b"".join(request(r, token) for _ in range(r.randint(2, 6)))
                check("pipelined", data, talk(data, r))
            case 3:
                data = http2(r, token)
                data = mutated(data, r) if r.random() < 0.3 else data
                check("http2", data, talk(data, r))
            case 4:
                data = ask(b"GET", f"/customers/{ids['customers']}".encode(), tampered(OWNER if r.random() < 0.5 else STRANGER, r), r)
                received = talk(data, r, patience=10)
                check("tampered", data, received)
                if b" 200 OK" in received:
                    fail("a token that was tampered with was accepted", data, received)
            case 5:
                data = strange(r)
                received = talk(data, r, patience=10)
                check("stranger", data, received)
                if ids["customers"].encode() in received and ids["customers"].encode() not in data:
                    fail("a stranger learned an id of the owner's", data, received)


def probe(until):
    global slowest
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=HEALTH_SECONDS)
            connection.request("GET", "/health")
            if connection.getresponse().status != 200:
                fail("/health is not 200")
        except OSError as error:
            fail(f"/health did not answer: {error}")
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.25)


def memory():
    with open(f"/proc/{PID}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) // 1024


set_up()
idle, until = memory(), time.monotonic() + SECONDS
threads = [threading.Thread(target=work, args=(n, until)) for n in range(THREADS)] + [threading.Thread(target=probe, args=(until,))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

status, customer = call("GET", f"/customers/{ids['customers']}", OWNER)
if (status, customer.get("name"), customer.get("contactPhone")) != (200, CANARY, PHONE):
    fail(f"the owner's customer is not what it was: {status} {customer}")
total = sum(count for kind, count in counts.items() if " " not in kind)
print(f"seed {SEED}: {total} exchanges; /health within {slowest * 1000:.0f} ms; {idle} MB before, {memory()} MB after")
print("  " + ", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items())))
if memory() > MEMORY_MB:
    fail(f"the service takes {memory()} MB")
for failure in failures:
    print(failure, file=sys.stderr)
sys.exit(bool(failures))

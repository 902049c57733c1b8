-- What wrk sends: MODE creates, gets or lists customers with a phone number and an e-mail address, or gets PATHNAME (path), or
-- walks each of PATHS, in turn (reads). With COUNT, each thread stops after that many, and the 99th percentile in microseconds is written in place of the rate.
local mode, token = os.getenv("MODE"), os.getenv("TOKEN")
local limit, tenant = tonumber(os.getenv("COUNT")), os.getenv("TENANT")
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init()
  count = 0
  ids = {}
  for id in (os.getenv("IDS") or ""):gmatch("%S+") do ids[#ids + 1] = id end
  headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
  if tenant then headers["X-Tenant-Id"] = tenant end
  paths, cursors = {}, {}
  for path in (os.getenv("PATHS") or ""):gmatch("%S+") do paths[#paths + 1] = path end
  answered = 0
end

if limit then
  function response()
    answered = answered + 1
    if answered == limit then wrk.thread:stop() end
  end
end

-- A walk goes on behind the last page that has come; from its end it begins anew. A page by its number is the same each time.
if mode == "reads" then
  function response(_, headers, body)
    local path = tonumber(headers["x-request-id"])
    local goes_on = not paths[path]:find("page=", 1, true) and not body:find('"data":[]', 1, true)
    local cursor = goes_on and body:match('"nextCursor":"([^"]+)"')
    cursors[path] = cursor and "&after=" .. cursor
  end
end

function request()
  count = count + 1
  if mode == "get" then return wrk.format("GET", "/customers/" .. ids[count % #ids + 1], headers) end
  if mode == "reads" then
    local path = count % #paths + 1
    headers["X-Request-ID"] = path
    return wrk.format("GET", paths[path] .. (cursors[path] or ""), headers)
  end
  if mode == "path" then return wrk.format("GET", os.getenv("PATHNAME"), headers) end
  if mode == "list" then return wrk.format("GET", "/customers?pageSize=20", headers) end
  headers["X-Request-ID"] = os.getenv("ROUND") .. "-" .. number .. "-" .. count
  -- Numbers come in no order, as people's do: an index over ascending ones would be unusually cheap.
  local some = (count * 48271 + number * 7919) % 99999989
  local body = string.format('{"name": "Acme", "contactPhone": "138%08d", "contactEmail": "%d@example.com"}', some, some)
  return wrk.format("POST", "/customers", headers, body)
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local measured = limit and latency:percentile(99) or summary.requests / summary.duration * 1e6
  io.write(string.format("%.0f %d\n", measured, failed))
end

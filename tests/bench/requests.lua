-- What wrk sends: MODE creates, gets, changes (patch) or lists customers with a phone number and an e-mail address, or does all of
-- these (mixed: of twenty requests fifteen gets, three lists, a change and a create), or gets PATHNAME (path), in which MOMENT is
-- another minute, second and millisecond each time, or walks each of PATHS, in turn (reads). Where there are TENANTS, they come in turn; IDS are those of the first of them, then of the next. With COUNT, each thread stops after that many, and the 99th percentile in microseconds is written in place of the rate.
local mode, token = os.getenv("MODE"), os.getenv("TOKEN")
local limit, tenant = tonumber(os.getenv("COUNT")), os.getenv("TENANT")
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init()
  count = 0
  -- So that what begins a second later has other moments.
  began = os.time() * 50021
  ids = {}
  for id in (os.getenv("IDS") or ""):gmatch("%S+") do ids[#ids + 1] = id end
  headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
  if tenant then headers["X-Tenant-Id"] = tenant end
  tenants = {}
  for name in (os.getenv("TENANTS") or ""):gmatch("%S+") do tenants[#tenants + 1] = name end
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

-- What is mixed, in turn: by the number of the request.
local function part()
  if mode ~= "mixed" then return mode end
  local turn = count % 20
  if turn < 15 then return "get" elseif turn < 18 then return "list" elseif turn < 19 then return "patch" end
  return "create"
end

function request()
  count = count + 1
  local mode = part()
  -- The threads are far from each other, so that neither changes what the other has just changed.
  local some = (count + number * math.floor(#ids / 2)) % math.max(#ids, 1)
  local some_id = ids[some + 1]
  if #tenants > 0 then headers["X-Tenant-Id"] = tenants[math.floor(some * #tenants / math.max(#ids, 1)) + 1] end
  headers["X-Request-ID"] = nil
  if mode == "get" then return wrk.format("GET", "/customers/" .. some_id, headers) end
  if mode == "reads" then
    local path = count % #paths + 1
    headers["X-Request-ID"] = path
    return wrk.format("GET", paths[path] .. (cursors[path] or ""), headers)
  end
  if mode == "path" then
    local millis = (began + count * 2 + number) % 3600000
    local moment = string.format("%02d:%02d.%03d", math.floor(millis / 60000), math.floor(millis / 1000) % 60, millis % 1000)
    local path = os.getenv("PATHNAME"):gsub("MOMENT", moment)
    return wrk.format("GET", path, headers)
  end
  if mode == "list" then return wrk.format("GET", "/customers?pageSize=20", headers) end
  headers["X-Request-ID"] = os.getenv("ROUND") .. "-" .. number .. "-" .. count
  if mode == "patch" then
    return wrk.format("PATCH", "/customers/" .. some_id, headers, string.format('{"name": "Acme %d"}', count))
  end
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

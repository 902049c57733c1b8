-- What wrk sends: MODE creates, gets or lists customers with a phone number and an e-mail address.
local mode, token = os.getenv("MODE"), os.getenv("TOKEN")
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
end

function request()
  count = count + 1
  if mode == "get" then return wrk.format("GET", "/customers/" .. ids[count % #ids + 1], headers) end
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
  io.write(string.format("%.0f %d\n", summary.requests / summary.duration * 1e6, failed))
end

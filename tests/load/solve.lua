-- wrk's script: posts the puzzles of a file (one a line) in turn, with the options given, and prints one line of figures.
-- wrk … -s solve.lua URL -- PUZZLES '"halting": "fixed"' PAUSE
-- With PAUSE, a client waits that many milliseconds on average before each request: CLIENTS / PAUSE is the offered load.
local bodies, next_body = {}, 0

function init(args)
  local options = args[2] and args[2] ~= "" and (", " .. args[2]) or ""
  for line in io.lines(args[1]) do
    bodies[#bodies + 1] = wrk.format("POST", "/solve/sudoku", { ["Content-Type"] = "application/json" },
      '{"puzzle": "' .. line .. '"' .. options .. "}")
  end
  local pause = tonumber(args[3])
  if pause then
    -- Exponential, so that requests of all clients together arrive at random.
    delay = function() return math.floor(-pause * math.log(1 - math.random())) end
  end
end

function request()
  next_body = next_body % #bodies + 1
  return bodies[next_body]
end

function done(summary, latency, requests)
  local seconds = summary.duration / 1e6
  local errors = summary.errors
  io.write(string.format("figures %.1f %.0f %.0f %d\n", summary.requests / seconds, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end

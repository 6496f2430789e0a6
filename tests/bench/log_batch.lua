-- wrk: POST runs/log-batch, 1000 points each (100 steps of 10 keys), no point twice.
-- args after "--": a file of run ids, and a number that sets these points apart from other calls'.
-- The bodies are made before the clock runs; a request only puts a run id in front of one, so
-- the sender is not what is measured. Each run gets each body once: #runs * BODIES batches.
local BODIES = 40
local runs, bodies, n = {}, {}, 0

function init(args)
    for line in io.lines(args[1]) do runs[#runs + 1] = line end
    local base = tonumber(args[2])
    for b = 1, BODIES do
        local points = {}
        for step = base + b * 100, base + b * 100 + 99 do
            for key = 0, 9 do
                points[#points + 1] = string.format(
                    '{"key": "metric%d", "value": %.6f, "timestamp": %d, "step": %d}',
                    key, key + 1 / (step + 1), 1700000000000 + step, step)
            end
        end
        bodies[b] = '", "metrics": [' .. table.concat(points, ", ") .. "]}"
    end
    wrk.headers["Content-Type"] = "application/json"
end

function request()
    local run, body = runs[n % #runs + 1], bodies[math.floor(n / #runs) % BODIES + 1]
    n = n + 1
    return wrk.format("POST", "/api/2.0/mlflow/runs/log-batch", nil, '{"run_id": "' .. run .. body)
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "done.lua")

-- wrk: POST runs/log-metric, one point each, no point twice.
-- args after "--": a file with one run id on each line, and the number of the first step.
local runs, step = {}, 0

function init(args)
    for line in io.lines(args[1]) do runs[#runs + 1] = line end
    step = tonumber(args[2])
    wrk.headers["Content-Type"] = "application/json"
    wrk.headers["Authorization"] = os.getenv("BENCH_AUTHORIZATION")
end

function request()
    step = step + 1
    return wrk.format("POST", "/api/2.0/mlflow/runs/log-metric", nil, string.format(
        '{"run_uuid": "%s", "run_id": "%s", "key": "loss", "value": %.6f, "timestamp": %d, "step": %d}',
        runs[step % #runs + 1], runs[step % #runs + 1], 1 / step, 1700000000000 + step, step))
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "done.lua")

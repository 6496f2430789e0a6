-- wrk: GET runs/get, one run after the other.
-- args after "--": a file with one run id on each line, and a number that is not used.
local runs, turn = {}, 0

function init(args)
    for line in io.lines(args[1]) do runs[#runs + 1] = line end
end

function request()
    turn = turn + 1
    return wrk.format("GET", "/api/2.0/mlflow/runs/get?run_id=" .. runs[turn % #runs + 1])
end

function done(summary, latency)
    io.write(string.format(
        'RESULT {"requests": %d, "seconds": %.6f, "not_200": %d, "broken": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
        summary.requests, summary.duration / 1e6, summary.errors.status,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end

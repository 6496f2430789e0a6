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

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "done.lua")

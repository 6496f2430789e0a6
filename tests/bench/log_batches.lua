-- wrk: POST /sluice/api/v1/log-batches in msgpack, 10 batches of 1000 points each for 10 runs (100
-- steps of 10 keys), no point twice. args after "--" and the preparation are those of log_batch.lua.
local BODIES, BATCHES = 40, 10
local runs, bodies, n = {}, {}, 0

local function number(first, bytes, value)
    local out = {}
    for i = bytes, 1, -1 do
        out[i] = string.char(value % 256)
        value = math.floor(value / 256)
    end
    return first .. table.concat(out)
end

local function text(s)
    return string.char(0xa0 + #s) .. s
end

function init(args)
    for line in io.lines(args[1]) do runs[#runs + 1] = line end
    local base = tonumber(args[2])
    for b = 1, BODIES do
        local points = {}
        for step = base + b * 100, base + b * 100 + 99 do
            for key = 0, 9 do
                -- 0x3ff0... is 1.0; its low bytes make every value another one
                points[#points + 1] = "\132" .. text("key") .. text("metric" .. key)
                    .. text("value") .. "\203\63\240\0\0" .. number("", 4, step)
                    .. text("timestamp") .. number("\207", 8, 1700000000000 + step)
                    .. text("step") .. number("\206", 4, step)
            end
        end
        bodies[b] = text("metrics") .. number("\220", 2, #points) .. table.concat(points)
    end
    wrk.headers["Content-Type"] = "application/msgpack"
end

function request()
    local out, body = {}, bodies[math.floor(n / #runs) % BODIES + 1]
    for i = 1, BATCHES do
        out[i] = "\130" .. text("run_id") .. "\217\32" .. runs[n % #runs + 1] .. body
        n = n + 1
    end
    return wrk.format("POST", "/sluice/api/v1/log-batches", nil, table.concat(out))
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "done.lua")

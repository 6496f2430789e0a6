-- wrk: the figures of a round as one line of JSON, for bench.py. Every script ends with it.
function done(summary, latency)
    io.write(string.format(
        'RESULT {"requests": %d, "seconds": %.6f, "not_200": %d, "broken": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
        summary.requests, summary.duration / 1e6, summary.errors.status,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end

"""All scenarios of the fault suite, in the order in which they run."""

import scenarios_end
import scenarios_state
import scenarios_wire

SCENARIOS = [
    scenarios_state.stock_beside,  # the longest: first, so that the other lane is busy meanwhile
    scenarios_end.restarts,
    scenarios_end.killed_backends,
    scenarios_end.paused_backend,
    scenarios_end.paused_server,
    scenarios_end.stopped_while_paused,
    scenarios_end.started_without,
    scenarios_wire.black_hole,
    scenarios_wire.lost_names,
    scenarios_state.read_only,
    scenarios_state.failover,
    scenarios_state.full_disk,
    scenarios_state.no_connections,
    scenarios_state.held_locks,
    scenarios_state.unknown_head,
    scenarios_state.upgrade,
    scenarios_state.slow_database,
    scenarios_state.clock_jumps,
    scenarios_end.caught_position_first,
]

"""Scenarios with three brokers on a wire: leaders, controllers, followers and links fail one by one."""

import contextlib
import time

from scene import FLUSHER, FRONT, PARTITIONS, Scene, more, must_be_lost
from server import wait_until

# A leader is missed for broker.session.timeout.ms, and another is told of it: less than this.
PATIENT = ["--kafka.message.timeout.ms", "20000"]


def others_lead(scene, witness, broker):
    """As the witness sees it: a broker that is cut off still believes in itself."""
    leaders = {leader for leader, _, _ in scene.kafka.placement(scene.topic, witness).values()}
    return leaders and not leaders & {-1, broker.node}


class Three(Scene):
    """Three brokers, a gateway and flushers; each on a host of its own when the scenario cuts wires."""

    def __init__(self, suite, name, args=(), settings=None):
        kafka = suite.brokers(3)
        super().__init__(suite, name, args=args, kafka=kafka)
        if settings:
            kafka.topic("--create", "--topic", self.topic, "--partitions", str(PARTITIONS),
                        "--replication-factor", "3", "--config", "max.message.bytes=4194304",
                        "--config", "message.timestamp.type=LogAppendTime",
                        *(a for pair in settings.items() for a in ("--config", "=".join(pair))))

    def steady(self, pod, **how):
        return self.begin(pod, rest_s=0.005, batch_points=50, **how)

    def led_by(self, broker):
        return [p for p, (leader, _, _) in self.kafka.placement(self.topic).items()
                if leader == broker.node]

    def leads_nothing(self, broker):
        others = [b for b in self.kafka.brokers if b is not broker]
        wait_until(lambda: others_lead(self, others[0], broker), 60,
                   f"broker {broker.node} leads nothing")

    def leads(self, broker):
        """Its share, at once: of each partition the replica that was placed first."""
        placed = self.kafka.placement(self.topic)
        self.kafka.elect_preferred(self.topic, {p: replicas for p, (_, replicas, _)
                                                in placed.items()})
        wait_until(lambda: self.led_by(broker), 60, f"broker {broker.node} leads")

    def in_sync(self, count):
        def are():
            """As every broker sees it: one that was cut off may not know yet what it has missed."""
            views = [self.kafka.placement(self.topic, b) for b in self.kafka.brokers
                     if b.is_alive() and not b.is_paused]
            return all(v == views[0] for v in views) and views[0] and all(
                len(isr) == count for _, _, isr in views[0].values())

        wait_until(are, 120, f"{count} replicas in sync")

    def healed(self):
        self.kafka.heal()
        self.in_sync(3)

    def refuses_quickly(self, pod, load):
        """Not ready, and a refusal that does not wait for a timeout."""
        wait_until(lambda: pod.status() == 503, 60, "not ready")
        begin = time.monotonic()
        answer = pod.log_metric(load.runs[0])
        assert answer.status_code == 503 and "Retry-After" in answer.headers, answer.text
        took = time.monotonic() - begin
        assert took < 3, f"a refusal waited for {took:.1f} s"


def leader_killed(suite):
    """kill -9 of a broker that leads: its partitions get other leaders, and no write is refused."""
    with Three(suite, "leader_killed", args=PATIENT) as scene:
        front = scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        load = scene.steady(front)
        brokers = list(scene.kafka.brokers)
        scene.random.shuffle(brokers)
        for broker in brokers[:suite.choose(1, 3)]:
            assert scene.led_by(broker), "it leads nothing"
            broker.kill()
            scene.leads_nothing(broker)
            more(load, 200, "with two brokers")
            broker.start()
            scene.in_sync(3)
            scene.leads(broker)
            more(load, 200, "with three brokers")
        return f"{suite.choose(1, 3)} kills, {scene.sound(load, least=500, only=[200])} points acked"


def controller_killed(suite):
    """kill -9 of the active controller, and of the next one."""
    with Three(suite, "controller_killed", args=PATIENT) as scene:
        front = scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        load = scene.steady(front)
        gone = []
        for _ in range(suite.choose(1, 2)):
            broker = scene.kafka.controller()
            broker.kill()
            gone.append(broker.node)
            wait_until(lambda: scene.kafka.controller() is not broker, 60, "another controller")
            scene.leads_nothing(broker)
            more(load, 200, "with another controller")
            broker.start()
            scene.in_sync(3)
        return (f"controllers {gone} killed, "
                f"{scene.sound(load, least=500, only=[200])} points acked")


def leaders_move(suite):
    """Leaders are moved under load, all at once, again and again: no write is refused."""
    with Three(suite, "leaders_move", args=PATIENT) as scene:
        front = scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        load = scene.steady(front)
        moved = 0
        for _ in range(suite.choose(2, 5)):
            before = scene.kafka.placement(scene.topic)
            scene.kafka.elect_preferred(scene.topic, {
                p: replicas[1:] + replicas[:1] for p, (_, replicas, _) in before.items()})
            more(load, 200, "after a move")
            after = scene.kafka.placement(scene.topic)
            moved += sum(after[p][0] != before[p][0] for p in after)
        assert moved >= PARTITIONS, f"only {moved} leaders moved"
        return f"{moved} moves, {scene.sound(load, least=500, only=[200])} points acked"


def follower_hung(suite):
    """One broker hangs: two in sync are enough. With too few in sync writes are 503, none accepted."""
    with Three(suite, "follower_hung", args=PATIENT) as scene:
        front = scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        load = scene.steady(front)
        hung = scene.kafka.brokers[scene.random.randrange(3)]
        hung.pause()
        more(load, 300, "with a hung broker")
        acked = scene.sound(load, least=500, only=[200])
        scene.healed()
    with Three(suite, "too_few", settings={"min.insync.replicas": "3"}) as scene:
        front = scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        load = scene.steady(front)
        hung.pause()
        scene.refuses_quickly(front, load)
        acks = load.acks
        wait_until(lambda: load.statuses_so_far(503) > 300, 60, "refusals")
        assert load.acks == acks, "accepted with too few replicas"
        assert front.get_run(load.runs[0]).status_code == 200, "reads go on"
        hung.resume()
        more(load, 200, "after its return")
        wait_until(lambda: front.status() == 200, 60, "ready again")
        load.stop()
        return (f"{load.statuses[503]} writes refused, "
                f"{acked + scene.sound(load, least=200)} points acked")


def coordinator_hung(suite):
    """The group's coordinator hangs while it has a flusher's wish to join: it is asked of another soon."""
    # The one that is killed stays in the group for that long, and the wish unanswered.
    session = ["--kafka.session.timeout.ms", "25000"]
    with Three(suite, "coordinator_hung", args=PATIENT + session) as scene:
        group = "sluice-" + scene.topic
        front = scene.pod(*FRONT)
        first = scene.pod(*FLUSHER)
        wait_until(lambda: first.holds(PARTITIONS), 60, "the partitions")
        load = scene.steady(front)
        first.kill()
        second = scene.pod(*FLUSHER)
        state = None

        def is_joining():
            nonlocal state
            state = scene.kafka.group_state(group)
            return state[1] == "PreparingRebalance"

        wait_until(is_joining, 60, "a group that waits for the dead")
        coordinator, _ = state
        coordinator.pause()
        assert not second.holds(1)
        more(load, 200, "with a hung coordinator")
        acked = scene.sound(load, least=500, only=[200])
        assert coordinator.is_paused and second.holds(PARTITIONS)
        scene.healed()
        return f"broker {coordinator.node} hung, {acked} points acked"


def all_hung(suite):
    """All brokers hang: writes are 503 at once, reads go on, and all recovers by itself."""
    with Three(suite, "all_hung") as scene:
        front = scene.pod(*FRONT)
        flusher = scene.pod(*FLUSHER)
        load = scene.steady(front)
        for broker in scene.kafka.brokers:
            broker.pause()
        begin = time.monotonic()
        scene.refuses_quickly(front, load)
        acks = load.acks
        wait_until(lambda: time.monotonic() - begin > suite.choose(8, 30), 60, "the outage")
        assert load.acks == acks, "accepted without brokers"
        assert front.get_run(load.runs[0]).status_code == 200, "reads go on"
        assert flusher.process.poll() is None
        scene.kafka.heal()
        more(load, 300, "after their return")
        wait_until(lambda: front.status() == 200, 60, "ready again")
        load.stop()
        return (f"{load.statuses[503]} writes refused, "
                f"{scene.sound(load, least=500)} points acked")


def cut_gateway(suite):
    """A gateway loses the wire to one broker: its partitions' writes are 503, another gateway's are not."""
    with Three(suite, "cut_gateway") as scene:
        host = suite.wire.host()
        near, far = scene.pod(*FRONT), scene.pod(*FRONT, host=host)
        scene.pod(*FLUSHER)
        runs = scene.new_runs(near, 24)  # of all leaders
        loads = [scene.steady(near, runs=runs), scene.steady(far, runs=runs)]
        broker = scene.kafka.brokers[scene.random.randrange(3)]
        with suite.wire.cut(host, broker.host):
            wait_until(lambda: loads[1].statuses_so_far(503) > 50, 60, "refusals")
            more(loads[0], 200, "at the other gateway")
            more(loads[1], 20, "for partitions with other leaders")
        more(loads[1], 300, "with the wire mended")
        wait_until(lambda: far.status() == 200, 60, "ready again")
        acked = scene.sound(*loads, least=1000)
        assert loads[0].statuses[503] == 0, loads[0].statuses
        return f"{loads[1].statuses[503]} writes refused, {acked} points acked"


@contextlib.contextmanager
def isolated(scene, suite, broker, front, load):
    """Cuts a leader off from the other brokers, but not from the gateway, until others lead in its place.
    What it takes meanwhile nobody else has. Yields who else sends."""
    others = [b for b in scene.kafka.brokers if b is not broker]
    assert scene.led_by(broker), "it leads nothing"
    more_clients = scene.steady(front, runs=load.runs, clients=24)
    with suite.wire.cut(broker.host, *(b.host for b in others)):
        wait_until(lambda: others_lead(scene, others[0], broker), 60, "others lead")
        more(load, 100, "with other leaders")
        yield more_clients


def cut_brokers(suite):
    """A leader is cut off from the others, not from the gateway: what it takes alone is not acked."""
    with Three(suite, "cut_brokers") as scene:
        front = scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        load = scene.steady(front, runs=scene.new_runs(front, 24))
        broker = scene.kafka.brokers[scene.random.randrange(3)]
        loads = [load]
        for _ in range(suite.choose(1, 3)):
            with isolated(scene, suite, broker, front, load) as alone:
                loads.append(alone)
            alone.stop()
            scene.in_sync(3)  # what it took alone is cut off its log
            scene.leads(broker)
            more(load, 200, "with the wire mended")
        refused = sum(each.statuses_so_far(503) for each in loads)
        return f"{refused} writes refused, {scene.sound(*loads, least=500)} points acked"


def cut_flusher(suite):
    """A flusher is cut off from all brokers: the other one has all partitions, and the first returns."""
    with Three(suite, "cut_flusher") as scene:
        host = suite.wire.host()
        front = scene.pod(*FRONT)
        first, second = scene.pod(*FLUSHER, host=host), scene.pod(*FLUSHER)
        wait_until(lambda: first.holds(4) and second.holds(4), 60, "each has a share")
        load = scene.steady(front)
        for _ in range(suite.choose(1, 3)):
            with suite.wire.cut(host, *(b.host for b in scene.kafka.brokers)):
                wait_until(lambda: second.holds(PARTITIONS), 90, "the second has all")
                more(load, 200, "without the first")
                scene.await_flush()
            wait_until(lambda: first.holds(4), 90, "the first is back")
        return f"{scene.sound(load, least=500)} points acked"


def forgotten_producer(suite):
    """A gateway hangs with messages on their way until the brokers have forgotten its producer id."""
    with Three(suite, "forgotten_producer", args=PATIENT) as scene:
        front = scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        load = scene.steady(front)
        for _ in range(suite.choose(1, 3)):
            front.pause()
            hung = time.monotonic()
            # producer.id.expiration.ms is 5 s, looked at every second (run.py).
            wait_until(lambda: time.monotonic() - hung > 8, 30, "the id has expired")
            front.resume()
            more(load, 200, "after its return")
        load.stop()
        return (f"{int(front.stat('sluice_kafka_renewals_total'))} new clients, "
                f"{scene.sound(load, least=500)} points acked")


def caught_acks_one(suite):
    """acks=1: what a leader takes that is cut off must show as lost points."""
    with Three(suite, "caught_acks_one") as scene:
        front = scene.pod(*FRONT, env={"SLUICE_TEST_ACKS_ONE": "1"})
        scene.pod(*FLUSHER)
        load = scene.steady(front, runs=scene.new_runs(front, 24))
        broker = scene.kafka.brokers[0]
        if not scene.led_by(broker):
            scene.leads(broker)
        with isolated(scene, suite, broker, front, load) as alone:
            load.stop()
            alone.stop()
        scene.in_sync(3)
        return must_be_lost(scene, load, alone)


def caught_failed_ack(suite):
    """A failed delivery report that is taken for a good one must show as lost points."""
    with Three(suite, "caught_failed_ack", settings={"min.insync.replicas": "3"}) as scene:
        front = scene.pod(*FRONT, env={"SLUICE_TEST_ACK_FAILED": "1"})
        scene.pod(*FLUSHER)
        runs = scene.new_runs(front)
        scene.kafka.brokers[0].pause()
        scene.in_sync(2)
        load = scene.steady(front, runs=runs, least=2)
        load.stop()
        scene.healed()
        return must_be_lost(scene, load)


SCENARIOS = [leader_killed, controller_killed, leaders_move, follower_hung, coordinator_hung, all_hung, cut_gateway,
             cut_brokers, cut_flusher, forgotten_producer, caught_acks_one, caught_failed_ack]

"""The network between the program and PostgreSQL goes silent; so does the name server."""

import contextlib
import os
import subprocess
import tempfile

import postgres
from scene import SILENCE_S, Scene
from server import wait_until


def cut_off(suite, name, uri_of, silence, with_stop):
    """The scene behind a wire that silence() cuts; perhaps stopped in the end while it is cut."""
    suite.need_namespaces()
    suite.need_program("iptables")
    with postgres.Wire() as wire, postgres.Far(wire) as far:
        far.create_database("fault_" + name)
        with Scene(suite, name, far, uri=uri_of(far)) as scene:
            for _ in range(suite.times(1, 10)):
                with silence(wire):
                    scene.survives()
                    # Sessions without traffic are found dead as well: none is left of before.
                    wait_until(lambda: established(wire) == 0, 60, "dead sessions are given up")
                    scene.refuses_unknown_runs()
                    scene.answers_reads()
                    scene.accepts()
                scene.is_ready(True)
            scene.uri = far.uri("fault_" + name)
            if not with_stop:
                return scene.sound(more=f", silence of {SILENCE_S} s is noticed")
            with contextlib.ExitStack() as fault:
                fault.enter_context(silence(wire))
                scene.has_backlog(SILENCE_S + 2)
                return scene.stops_and_returns(fault.close)


def established(wire):
    """Connections of ours to the other end that are not given up yet."""
    out = subprocess.run(["ss", "-Htn", "state", "established", "dst", wire.THERE], check=True,
                         capture_output=True, text=True).stdout
    return len(out.splitlines())


def black_hole(suite):
    """Packets to PostgreSQL vanish: noticed within pg_user_timeout, also by idle sessions (F8)."""
    return cut_off(suite, "black_hole", lambda far: far.far_uri("fault_black_hole"),
                   lambda wire: wire.cut(), False)


@contextlib.contextmanager
def bound(path, text):
    """Another file in place of a file of /etc, for our mount namespace only; gives its path."""
    fd, mine = tempfile.mkstemp(prefix="fault-")
    os.fchmod(fd, 0o644)
    os.write(fd, text.encode())
    os.close(fd)
    subprocess.run(["mount", "--bind", mine, path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)
        os.unlink(mine)


def lost_names(suite):
    """The name server is silent too, while PostgreSQL's name has to be looked up: nobody waits (F8)."""
    suite.need_namespaces()
    known = f"{postgres.Wire.THERE} pg.fault.test\n127.0.0.1 localhost\n"

    @contextlib.contextmanager
    def silence(wire):
        with wire.cut():
            write("/etc/hosts", "127.0.0.1 localhost\n")
            try:
                yield
            finally:
                write("/etc/hosts", known)

    with bound("/etc/hosts", known), \
            bound("/etc/resolv.conf", f"nameserver {postgres.Wire.THERE}\n"
                                      "options timeout:5 attempts:2\n"):
        return cut_off(suite, "lost_names",
                       lambda far: far.far_uri("fault_lost_names", "pg.fault.test"), silence,
                       True)


def write(path, text):
    # In place: a bind mount keeps the file, not the name.
    with open(path, "w", encoding="ascii") as f:
        f.write(text)

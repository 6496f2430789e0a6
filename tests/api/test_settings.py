"""A wrong setting stops the start and says its name, its bounds and its help."""

import os
import re
import subprocess

import pytest

from server import BINARY, ROOT, clean_environment

ROW = re.compile(r'^SETTING\((\w+), (\w+), "([^"]*)", "([^"]*)", "([^"]*)", (\w+),\s*"([^"]*)"',
                 re.M)


def table():
    with open(os.path.join(ROOT, "schema/settings.def"), encoding="utf-8") as f:
        return [dict(zip(("kind", "name", "default", "min", "max", "reload", "help"), row))
                for row in ROW.findall(f.read())]


BOUNDED = [s for s in table() if s["kind"] in ("SIZE", "TIME", "COUNT") and s["max"]]
WORDS = [s for s in table() if s["kind"] == "TEXT" and s["min"]]
BOOLEANS = [s for s in table() if s["kind"] == "BOOL"]
BEYOND = {"SIZE": "1000000TiB", "TIME": "100000h", "COUNT": "99999999999"}


def names_of(rows):
    return [s["name"] for s in rows]


def run(tmp_path, *args, env=None):
    """`sluice serve` that is expected to refuse: its exit code and all it said."""
    result = subprocess.run(
        [BINARY, "serve", "--data-dir", str(tmp_path / "data"), *args], capture_output=True,
        text=True, timeout=30, stdin=subprocess.DEVNULL, env=clean_environment(env))
    assert "Sanitizer" not in result.stderr, result.stderr
    return result.returncode, result.stdout + result.stderr


def refuses(setting, result, bounds=True):
    code, said = result
    assert code > 0
    flag = setting["name"].replace("_", "-")
    assert setting["name"] in said or flag in said
    assert setting["help"] in said
    if bounds:
        for bound in filter(None, (setting["min"], setting["max"])):
            assert all(word in said for word in bound.split("|"))


def test_the_table_is_read():
    assert len(table()) > 20 and BOUNDED and WORDS and BOOLEANS


@pytest.mark.parametrize("setting", BOUNDED, ids=names_of(BOUNDED))
def test_beyond_the_bound_by_flag(tmp_path, setting):
    refuses(setting, run(tmp_path, f"--{setting['name'].replace('_', '-')}",
                         BEYOND[setting["kind"]]))


@pytest.mark.parametrize("setting", BOUNDED, ids=names_of(BOUNDED))
def test_no_number_by_environment(tmp_path, setting):
    refuses(setting, run(tmp_path, env={f"SLUICE_{setting['name'].upper()}": "many"}))


@pytest.mark.parametrize("setting", WORDS, ids=names_of(WORDS))
def test_unknown_word(tmp_path, setting):
    refuses(setting, run(tmp_path, f"--{setting['name'].replace('_', '-')}=loud"))


@pytest.mark.parametrize("setting", BOOLEANS, ids=names_of(BOOLEANS))
def test_neither_true_nor_false(tmp_path, setting):
    refuses(setting, run(tmp_path, env={f"SLUICE_{setting['name'].upper()}": "perhaps"}))


def test_wrong_value_in_a_file(tmp_path):
    path = tmp_path / "sluice.conf"
    path.write_text("# fine\nflush_rows = 10\nflush_interval = 99h\n")
    setting = next(s for s in table() if s["name"] == "flush_interval")
    refuses(setting, run(tmp_path, "--config", str(path)))


def test_unknown_names_are_errors(tmp_path):
    code, said = run(tmp_path, "--flush-rowz", "5")
    assert code > 0 and "flush-rowz" in said.replace("_", "-")
    path = tmp_path / "sluice.conf"
    path.write_text("flush_rowz = 5\n")
    code, said = run(tmp_path, "--config", str(path))
    assert code > 0 and "flush_rowz" in said
    code, said = run(tmp_path, env={"SLUICE_FLUSH_ROWZ": "5"})
    assert code > 0 and "rowz" in said.lower()


def test_a_missing_file_is_an_error(tmp_path):
    code, said = run(tmp_path, "--config", str(tmp_path / "nowhere.conf"))
    assert code > 0 and "nowhere.conf" in said


def test_an_address_that_is_none(tmp_path):
    for value in ("nonsense", "127.0.0.1", "127.0.0.1:99999"):
        code, said = run(tmp_path, "--listen", value)
        assert code > 0 and "listen" in said


def test_help_and_version():
    said = subprocess.run([BINARY, "serve", "--help"], capture_output=True, text=True, timeout=30,
                          check=True).stdout
    for setting in table():
        assert "--" + setting["name"].replace("_", "-") in said
    commands = said.split("\n\n")[1].splitlines()
    assert len(commands) > 10
    for usage, what in zip(commands[::2], commands[1::2]):
        assert usage.startswith("  ") and usage[2] != " ", usage
        assert what.startswith("      ") and what[6] != " " and what.endswith("."), what
    assert subprocess.run([BINARY, "version"], capture_output=True, text=True, timeout=30,
                          check=True).stdout.strip()

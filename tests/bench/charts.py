"""The table of `make bench-table` as pages: docs/bench.json, two charts, and the part of docs/benchmarks.md that is
between the two marks.

    python tests/bench/charts.py [build/bench.json]

A bar is a ratio on a logarithmic scale, the stroke across it what was promised. Colours follow the reader's
system, light or dark; no script, no font is fetched.
"""

import json
import math
import os
import sys
from xml.sax.saxutils import escape

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCS = os.path.join(ROOT, "docs")
BEGIN, END = "<!-- table: written by make bench-table ARGS=--docs -->", "<!-- /table -->"
# What was promised of a row of comparisons: (beginning of its name, against whom): least ratio.
PROMISES = {
    ("log-metric requests/s accepted", "nginx, fixed 200"): 0.5,
    ("points/s accepted, log-batch", "stock MLflow"): 200,
    ("points/s applied", "psql \\copy"): 2,
    ("points/s applied", "stock MLflow"): 40,
    ("points/s applied", "FastTrackML"): 5,
    ("runs/search, 1000 runs", "stock MLflow"): 20,
    ("get-history, 100 000 points", "stock MLflow"): 20,
}
STYLE = """<style>
.b{fill:#0072b2}.m{fill:#b35000}.t{stroke:#222;stroke-width:2}.g{stroke:#ddd}text{font:12px sans-serif;fill:#222}
.d{fill:#666;font-size:11px}
@media(prefers-color-scheme:dark){.b{fill:#56b4e9}.m{fill:#ff9a5c}.t{stroke:#eee}.g{stroke:#3a3f47}
text{fill:#e4e6ea}.d{fill:#a4a9b2}}
</style>"""
LABEL, WIDE, ROW, TOP = 430, 430, 26, 24


def promise_of(row):
    for (what, against), least in PROMISES.items():
        if row["what"].startswith(what) and row.get("against") == against and "tuned" not in row["what"]:
            return least
    return None


def bars(rows, title):
    """rows: (label, value, promised or None, is it met)."""
    values = [v for _, value, promised, _ in rows for v in (value, promised) if v]
    low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9))
    low, high = min(low, -1), max(high, low + 1)

    def x(value):
        return LABEL + WIDE * (math.log10(max(value, 10 ** low)) - low) / (high - low)

    height = TOP + ROW * len(rows) + 24
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LABEL + WIDE + 70} {height}" role="img" '
           f'aria-label="{escape(title)}">', STYLE, f'<text x="4" y="14">{escape(title)}</text>']
    for decade in range(low, high + 1):
        at = x(10 ** decade)
        out.append(f'<line class="g" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{height - 20}"/>'
                   f'<text class="d" x="{at:.1f}" y="{height - 6}" text-anchor="middle">{10.0 ** decade:g}</text>')
    for n, (label, value, promised, is_met) in enumerate(rows):
        y = TOP + ROW * n
        out.append(f'<text x="{LABEL - 8}" y="{y + 17}" text-anchor="end">{escape(label)}</text>'
                   f'<rect class="{"b" if is_met else "m"}" x="{LABEL}" y="{y + 5}" width="{x(value) - LABEL:.1f}" '
                   f'height="16"/><text x="{max(x(value), x(promised or value)) + 6:.1f}" y="{y + 17}">{value:.3g}</text>')
        if promised:
            out.append(f'<line class="t" x1="{x(promised):.1f}" x2="{x(promised):.1f}" y1="{y + 2}" y2="{y + 24}"/>')
    return "\n".join([*out, "</svg>", ""])


def comparisons(found):
    rows = []
    for row in found["table"]:
        if "ratio" in row:
            least = promise_of(row)
            rows.append((f"{row['what']}, to {row['against']}", row["ratio"], least, not least or row["ratio"] >= least))
    return rows


def figure(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown(found):
    machine, options = found["machine"], found["options"]
    lines = [f"Measured {machine['date']} at commit {machine['commit']}: {machine['cpus']} cores ({machine['model']}), "
             f"kernel {machine['kernel']}, PostgreSQL {machine['postgresql']}; load {machine['load_before']:.1f} before, "
             f"{machine['load_after']:.1f} after.", "",
             f"    make bench-table    # rounds of {options['seconds']} s, {options['rounds']} of each, "
             f"{options['points']} points applied, {options['large']} in the large table", "",
             "![ratios](bench-ratios.svg)", "", "| per second | Sluice | against | theirs | ratio | promised |",
             "|---|---|---|---|---|---|"]
    for row in found["table"]:
        if "ratio" in row:
            least = promise_of(row)
            lines.append(f"| {row['what']} | {figure(row['sluice'])} | {row['against']} | {figure(row['figure'])} | "
                         f"{row['ratio']:.3g} | {f'>= {least:g}' if least else ''} |".replace("\\copy", "`\\copy`"))
    lines += ["", "| promise | measured | wanted | met |", "|---|---|---|---|"]
    for row in found.get("targets", []):
        lines.append(f"| {row['what']} | {row['value']:.3g} {row['unit']} | {row['target']} | "
                     f"{'yes' if row['is_met'] else '**no**'} |".replace("\\copy", "`\\copy`"))
    return "\n".join(lines)


def write(found):
    with open(os.path.join(DOCS, "bench.json"), "w", encoding="utf-8") as f:
        json.dump({key: found[key] for key in ("machine", "options", "table", "targets") if key in found}, f, indent=1)
        f.write("\n")
    with open(os.path.join(DOCS, "bench-ratios.svg"), "w", encoding="utf-8") as f:
        f.write(bars(comparisons(found), "Sluice to the other, in turns on one machine (stroke: promised)"))
    path = os.path.join(DOCS, "benchmarks.md")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{path} has not the two marks")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{before}{BEGIN}\n{markdown(found)}\n{END}{after}")


if __name__ == "__main__":
    with open(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build/bench.json"), encoding="utf-8") as file:
        write(json.load(file))

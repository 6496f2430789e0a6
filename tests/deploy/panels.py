"""The panels of the dashboard as one page of SVG, with what a real Prometheus answers to their queries.

No Grafana is in Debian, so this draws what it would: each panel with its title, unit, legends and curves.
Standard library and requests only.
"""

import html
import math
import time

import requests

WIDTH, HEIGHT, LEFT, FOOT, TOP = 420, 170, 62, 20, 8
COLOURS = ["#1f66ad", "#0b7a6c", "#b3541e", "#7a4fb5", "#8a5a00", "#a61c56", "#4b6b1f", "#335c67", "#6b4226", "#555555"]


def number(value, unit):
    if unit == "s":
        for size, word in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= size:
                return f"{value / size:.3g} {word}"
        return "0 s"
    if unit in ("bytes", "Bps"):
        power = min(4, int(math.log(max(1, abs(value)), 1024)))
        return f"{value / 1024 ** power:.3g} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}{'/s' if unit == 'Bps' else ''}"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    word = "/s" if unit in ("reqps", "ops") else ""
    return (f"{value / 1000:.3g} k" if abs(value) >= 10000 else f"{value:.4g}") + word


def legend_of(form, labels):
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return form


class Board:
    def __init__(self, url, panels, job, seconds):
        self.url, self.panels, self.job, self.seconds = url, panels, job, seconds
        self.end = time.time()

    def curves(self, panel):
        """[(legend, [(time, value)])], without those that have no figure at all."""
        found = []
        for target in panel["targets"]:
            query = (target["expr"].replace("$job", self.job).replace("$instance", ".*")
                     .replace("$__rate_interval", "10s"))
            answer = requests.get(self.url + "/api/v1/query_range", timeout=60, params={
                "query": query, "start": self.end - self.seconds, "end": self.end, "step": "1"})
            assert answer.status_code == 200, f"{query}: {answer.text}"
            for series in answer.json()["data"]["result"]:
                points = [(t, float(v)) for t, v in series["values"] if math.isfinite(float(v))]
                if points:
                    found.append((legend_of(target["legendFormat"], series["metric"]), points))
        return found

    def plot(self, curves, unit):
        high = max((v for _, points in curves for _, v in points), default=0) or 1
        foot = HEIGHT - FOOT
        out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">']
        for share in (0, 0.5, 1):
            y = foot - share * (foot - TOP - 6)
            out.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y}" y2="{y}" stroke="#ddd"/>'
                       f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{html.escape(number(high * share, unit))}</text>')
        for word, x, anchor in ((f"{self.seconds} s ago", LEFT, "start"), ("now", WIDTH, "end")):
            out.append(f'<text x="{x}" y="{HEIGHT - 4}" text-anchor="{anchor}">{word}</text>')
        for i, (_, points) in enumerate(curves):
            path, last = "", None
            for t, v in points:
                x = LEFT + (t - self.end + self.seconds) / self.seconds * (WIDTH - LEFT)
                y = foot - max(0, v) / high * (foot - TOP - 6)
                path += f"{'L' if last and t - last < 3 else 'M'}{x:.1f} {y:.1f}"
                last = t
            out.append(f'<path d="{path}" fill="none" stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="1.6"/>')
        return "".join(out) + "</svg>"

    def panel(self, panel):
        unit, title = panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        curves = self.curves(panel)
        if not curves:
            body = '<p class="none">no figures</p>'
        else:
            body = self.plot(curves, unit) + "<ul>" + "".join(
                f'<li><b style="background:{COLOURS[i % len(COLOURS)]}"></b>{html.escape(name)} '
                f"{html.escape(number(points[-1][1], unit))}</li>" for i, (name, points) in enumerate(curves)) + "</ul>"
        return (f'<section><h3>{html.escape(title)}</h3><p>{html.escape(panel["description"])}</p>{body}</section>',
                bool(curves))

    def page(self):
        """(HTML, titles of panels that have no figures)."""
        out, empty = [], []
        for panel in self.panels:
            if panel["type"] == "row":
                out.append(f'<h2>{html.escape(panel["title"])}</h2>')
                continue
            text, has_data = self.panel(panel)
            out.append(text)
            if not has_data:
                empty.append(panel["title"])
        return STYLE + "".join(out), empty


STYLE = """<!doctype html><meta charset="utf-8"><title>Sluice: dashboard</title><style>
body { margin: 16px; background: #f4f5f5; font: 13px/1.4 system-ui, sans-serif; display: grid; gap: 8px;
  grid-template-columns: repeat(3, 1fr); }
h2 { grid-column: 1 / -1; margin: 14px 0 0; font-size: 16px; }
section { background: #fff; border: 1px solid #ddd; border-radius: 4px; padding: 8px 12px; min-width: 0; }
h3 { margin: 0; font-size: 13px; } p { margin: 0 0 4px; color: #666; font-size: 12px; }
p.none { padding: 50px 0; text-align: center; } svg { width: 100%; } text { font-size: 11px; fill: #555; }
ul { list-style: none; margin: 0; padding: 0; font-size: 11.5px; } li { display: inline-block; margin-right: 12px; }
b { display: inline-block; width: 12px; height: 3px; margin-right: 5px; vertical-align: middle; }
</style>"""

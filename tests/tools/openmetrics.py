#!/usr/bin/python3
"""Reads OpenMetrics from standard input as Prometheus' own Python client does, and prints it as JSON.

Debian's python3-prometheus-client, so by Debian's Python. A list of families: name, type, unit, samples
(name, labels, value, exemplar's labels or null). Fails where the parser does: order, units, suffixes,
bounds, a missing # EOF.
"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

json.dump([{"name": f.name, "type": f.type, "unit": f.unit,
            "samples": [[s.name, s.labels, s.value, s.exemplar.labels if s.exemplar else None]
                        for s in f.samples]}
           for f in text_string_to_metric_families(sys.stdin.read())], sys.stdout)

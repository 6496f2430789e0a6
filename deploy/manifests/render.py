#!/usr/bin/env python3
"""Writes deploy/manifests/sluice.yaml: what the chart makes of presets/values-guide.yaml, without Helm's marks.

    deploy/manifests/render.py HELM FOLDER

`make chart` runs it; the chart suite compares. Who applies these has no Helm, so its labels and the
checksum that only an upgrade reads are left out.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CHART = os.path.join(HERE, "../chart/sluice")
HELM_ONLY = re.compile(r"^ *(# Source: |helm\.sh/|app\.kubernetes\.io/managed-by: |checksum/)")


def main():
    helm, folder = sys.argv[1:]
    made = subprocess.run([helm, "template", "mlflow", CHART, "--namespace", "mlflow", "--values",
                           CHART + "/presets/values-guide.yaml"],
                          check=True, text=True, stdout=subprocess.PIPE).stdout
    lines = [line for line in made.splitlines() if line.strip() and not HELM_ONLY.match(line)]
    with open(os.path.join(folder, "sluice.yaml"), "w", encoding="utf-8") as f:
        f.write("# Made by `make chart` of the chart and its presets/values-guide.yaml. Do not edit.\n")
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

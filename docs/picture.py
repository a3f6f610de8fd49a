#!/usr/bin/env python3
"""Makes docs/demo.svg out of what a real run of the demo printed.

    script -qec 'stty cols 118; make demo' /tmp/demo.txt
    python3 docs/picture.py < /tmp/demo.txt > docs/demo.svg

Lines are shown as they were printed, colours included. What is left out is said in two lines of our
own that begin with dots.
"""

import re
import sys
from html import escape

# The incidents that are shown, by workload: one that is suggested, one that is applied.
SHOWN = ("bonesetter-demo/gateway", "bonesetter-demo-auto/checkout")
FIRST = "breaking eight workloads"
LAST = "happened as it should"

CELL, LINE, SIZE, MARGIN = 8.4, 20, 14, 20
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
BACKGROUND, FOREGROUND = "#15181e", "#d6dae0"
COLOURS = {31: "#ff7b72", 32: "#56d364", 33: "#e3b341"}
OTHERS = "\x1b[2m⋮ (what concerns the other workloads is left out here)\x1b[0m"
MESSAGES = "\x1b[2m⋮ (the messages as they were received are left out here)\x1b[0m"

ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")
OTHER = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")
STEP = re.compile(r"\d\d:\d\d:\d\d (\S{8}) ")


def plain(line):
    return ESCAPE.sub("", line)


def read(text):
    """The lines of a terminal: what a carriage return has written over is gone."""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    return [OTHER.sub(lambda m: m[0] if ESCAPE.fullmatch(m[0]) else "", line)
            for line in lines]


def excerpt(lines):
    """The start, the chosen incidents, the table and the verdict."""
    start = next(i for i, line in enumerate(lines) if FIRST in line)
    end = next(i for i, line in enumerate(lines) if LAST in line)
    table = next(i for i in range(end, 0, -1) if "WORKLOAD" in lines[i])
    ids = {found[1] for line in map(plain, lines)
           if (found := STEP.match(line)) and any(name + " " in line for name in SHOWN)}
    shown, keep = [], False
    for line in lines[start + 1:table]:
        if found := STEP.match(plain(line)):
            keep = found[1] in ids
        elif not plain(line).startswith("  "):
            keep = False
        if keep:
            shown.append(line)
    return (["\x1b[2m$\x1b[0m make demo", lines[start], "", OTHERS] + shown
            + ["", MESSAGES, ""] + lines[table:end + 1])


def runs(lines):
    """(row, column, text, classes) of every stretch of text in one style; styles outlive a line."""
    colour, bold, dim = None, False, False
    for row, line in enumerate(lines):
        column = 0
        for index, part in enumerate(ESCAPE.split(line)):
            if index % 2:
                for code in map(int, part.split(";") if part else ["0"]):
                    if code == 0:
                        colour, bold, dim = None, False, False
                    bold, dim = bold or code == 1, dim or code == 2
                    colour = code if code in COLOURS else colour
                continue
            text = part.rstrip()
            if text:
                lead = len(text) - len(text.lstrip())
                names = [f"c{colour}"] * bool(colour) + ["b"] * bold + ["d"] * dim
                yield row, column + lead, text.lstrip(), " ".join(names)
            column += len(part)


def svg(lines):
    width = max(len(plain(line).rstrip()) for line in lines) * CELL + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    style = "".join(f".c{code}{{fill:{fill}}}" for code, fill in COLOURS.items())
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
           f'viewBox="0 0 {width:.0f} {height}" role="img" aria-labelledby="title">')
    yield '<title id="title">A run of make demo in a terminal</title>'
    yield (f'<style>text{{font:{SIZE}px {FONT};fill:{FOREGROUND};white-space:pre}}'
           f'{style}.b{{font-weight:700}}.d{{opacity:.62}}</style>')
    yield f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>'
    for row, column, text, names in runs(lines):
        x, y = MARGIN + column * CELL, MARGIN + (row + 0.75) * LINE
        # The length is given, so that columns stay columns whatever font there is.
        yield (f'<text x="{x:.1f}" y="{y:.1f}" textLength="{len(text) * CELL:.1f}"'
               + (f' class="{names}"' if names else "")
               + f'>{escape(text, quote=False)}</text>')
    yield "</svg>"


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdin.reconfigure(encoding="utf-8", newline="\n")
    print("\n".join(svg(excerpt(read(sys.stdin.read())))))

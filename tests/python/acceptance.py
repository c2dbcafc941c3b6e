"""The acceptance table from what the tests said: sorted, aligned, and whether every row is there.

acceptance.py < the output of `cargo test .. -- --nocapture`

A test named row_NN_.. that prints no figure of its own stands as a line with its name. Ends with 1 where a figure
does not hold, or a row is missing.
"""

import re
import sys

ROWS = [*range(1, 7), *range(8, 25), *range(26, 30)]
TITLES = ("row", "what", "value", "reference", "tolerance", "")


def main():
    text = sys.stdin.read()
    lines = [tuple(cell.strip() for cell in found.split("|")[1:-1]) for found in re.findall(r"\| .* \|$", text, re.M)]
    lines = [line for line in lines if len(line) == len(TITLES)]
    wrong = [line for line in lines if line[-1] == "FAIL"]
    for rows, name, outcome in re.findall(r"^test (?:\S*::)?rows?_([\d_]+?(?:and_\d+)?)_(\S+) \.\.\. (ok|FAILED)$", text, re.M):
        for row in re.findall(r"\d+", rows):
            outcome_shown = {"ok": "pass", "FAILED": "FAIL"}[outcome]
            lines.append((row, name.replace("_", " "), "held" if outcome == "ok" else "broken", "", "exact", outcome_shown))
    broken = re.findall(r"^test (\S+) \.\.\. FAILED$|^test (\S+) .*\bpanicked|^(error.*)", text, re.M)
    lines.sort(key=lambda line: int(line[0]) if line[0].isdigit() else 99)
    widths = [max(len(line[place]) for line in [TITLES, *lines]) for place in range(len(TITLES))]
    for line in [TITLES, tuple("-" * width for width in widths), *lines]:
        cells = (
            cell.rjust(width) if place in (0, 2) else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("| " + " | ".join(cells) + " |")
    held = sum(line[-1] == "pass" for line in lines)
    shown = {line[0] for line in lines}
    missing = [row for row in ROWS if str(row) not in shown]
    skipped = sum(line[2] == "skipped" for line in lines)
    totals = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed", text, re.M)
    failed = sum(int(failures) for _, failures in totals)
    print(f"{len(ROWS) - len(missing)} of {len(ROWS)} rows; {held} figures hold, {len(wrong)} do not, {skipped} skipped")
    print(f"{sum(int(passed) for passed, _ in totals)} tests passed, {failed} failed")
    for name in broken:
        print("failed:", *filter(None, name))
    if missing:
        print("rows that no test printed:", *missing)
    sys.exit(bool(wrong or missing or failed or broken or not totals))


main()

"""The acceptance table from what the tests said: sorted, aligned, and whether every row is there.

acceptance.py < the output of `cargo test .. -- --nocapture --test-threads=1`

A test named row_NN_.. that prints no figure of its own stands as a line with its name. Ends with 1 where a figure
does not hold, a test failed, or a row is missing.
"""

import re
import sys

ROWS = [*range(1, 7), *range(8, 25), *range(26, 30)]
TITLES = ("row", "what", "value", "reference", "tolerance", "")


def named(test, outcome):
    """The lines of a test that shows no figures: a line for each row in its name."""
    found = re.match(r"rows?_(\d+(?:_\d+)*(?:_and_\d+)?)_(.*)", test.split("::")[-1])
    for row in re.findall(r"\d+", found[1]) if found else []:
        held = outcome == "ok"
        shown = ("held" if held else "broken", "", "exact", "pass" if held else "FAIL")
        yield (row, found[2].replace("_", " "), *shown)


def read(text):
    """Lines of the table, and tests that failed."""
    lines, failed, test, figures = [], [], None, 0
    for line in text.splitlines():
        begun = re.match(r"test (\S+) \.\.\. ?(.*)", line)
        if begun:
            test, figures, line = begun[1], 0, begun[2]
        shown = re.search(r"\| .* \|$", line)
        cells = [cell.strip() for cell in shown[0].split("|")[1:-1]] if shown else []
        if len(cells) == len(TITLES):
            lines.append(tuple(cells))
            figures += 1
        if test and line.strip() in ("ok", "FAILED"):
            if not figures:
                lines.extend(named(test, line.strip()))
            if line.strip() == "FAILED":
                failed.append(test)
            test = None
        elif line.startswith("error"):
            failed.append(line)
    return sorted(lines, key=lambda line: int(line[0]) if line[0].isdigit() else len(ROWS) + 99), failed


def show(lines):
    widths = [max(len(line[place]) for line in [TITLES, *lines]) for place in range(len(TITLES))]
    for line in [TITLES, tuple("-" * width for width in widths), *lines]:
        placed = zip(line, widths, strict=True)
        cells = [cell.rjust(width) if place in (0, 2) else cell.ljust(width) for place, (cell, width) in enumerate(placed)]
        print("| " + " | ".join(cells) + " |")


def main():
    lines, failed = read(sys.stdin.read())
    show(lines)
    count = {outcome: sum(line[-1] == outcome for line in lines) for outcome in ("pass", "FAIL")}
    skipped = sum(line[2] == "skipped" for line in lines)
    missing = [row for row in ROWS if str(row) not in {line[0] for line in lines}]
    rows = f"{len(ROWS) - len(missing)} of {len(ROWS)} rows"
    print(f"{rows}; {count['pass']} figures hold, {count['FAIL']} do not; {skipped} skipped, for want of a table")
    for what in failed:
        print("failed:", what)
    if missing:
        print("rows that no test showed:", *missing)
    sys.exit(bool(failed or missing or count["FAIL"]))


main()

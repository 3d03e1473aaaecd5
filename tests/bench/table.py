"""A table as text, in the form of Markdown, so that what is printed can stand in the documentation as it is."""

import sys


class Table:
    def __init__(self, *titles: str) -> None:
        self._rows = [titles]

    def add(self, *cells: str) -> None:
        self._rows.append(cells)

    def write(self) -> None:
        widths = [max(len(row[at]) for row in self._rows) for at in range(len(self._rows[0]))]
        for place, row in enumerate(self._rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write(f"| {' | '.join(cells)} |\n")
            if place == 0:
                sys.stdout.write(f"| {' | '.join('-' * width for width in widths)} |\n")

"""A table in Markdown, so that printed results can be pasted into the documentation."""

import sys


class Table:
    def __init__(self, *titles: str) -> None:
        self._rows = [titles]

    def add(self, *cells: str) -> None:
        self._rows.append(cells)

    def write(self) -> None:
        widths = [max(len(row[column]) for row in self._rows) for column in range(len(self._rows[0]))]
        for index, row in enumerate(self._rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write(f"| {' | '.join(cells)} |\n")
            if index == 0:
                sys.stdout.write(f"| {' | '.join('-' * width for width in widths)} |\n")

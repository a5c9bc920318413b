"""The parts of a drawing."""

from __future__ import annotations

from dataclasses import dataclass

CHARACTER, LINE, PADDING = 6.7, 14.0, 8.0  # sizes in pixels, for 11 px monospace
KINDS = {  # what the legend says, and colours for light and dark: fill, stroke
    "parameter": ("requires gradients", "#e3f5e8", "#2f8f4e", "#12301c", "#4fbf74"),
    "constant": ("constant", "#f1f2f4", "#8b949e", "#22272e", "#6e7681"),
    "op": ("op", "#e8f0fe", "#4a7fe0", "#152643", "#6c9cf5"),
    "backward": ("op of a backward pass", "#fff0dd", "#d97f1e", "#3b260c", "#f0a24a"),
    "higher": ("op of a backward of a backward", "#fde6ef", "#cf3f7a", "#3d1226", "#f277a8"),
}


@dataclass
class Box:
    """An op or a leaf: its text, the first line of which is the title."""

    kind: str
    lines: list[str]
    tooltip: str
    op: str = ""
    is_output: bool = False

    @property
    def width(self) -> float:
        return max(map(len, self.lines)) * CHARACTER + 2 * PADDING

    @property
    def height(self) -> float:
        return len(self.lines) * LINE + 2 * PADDING - 4

    @property
    def size(self) -> tuple[float, float]:
        return self.width, self.height


@dataclass
class Edge:
    """From box number `tail` to box number `head`, whose input the label names."""

    tail: int
    head: int
    label: str
    kind: str

"""Line charts as SVG, just as much as bench/scaling needs.

A chart has panels in two columns; a panel has axes, linear or logarithmic, and series: a name and
points (x, y).  Colours belong to names, so that a series looks the same in all panels.
"""

import math
from html import escape

WIDTH, HEIGHT = 460, 320                        # of a panel
LEFT, RIGHT, TOP, BOTTOM = 66, 30, 62, 48       # room around its plot
COLOURS = ('#0b62a4', '#69aee0', '#c8501e', '#eaa83c', '#3f8f3f', '#7a4fa3', '#777', '#b03060')
STYLE = ('font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#222" '
         'stroke-linejoin="round"')


class Axis:
    """From values to places between 0 and 1."""

    def __init__(self, label, values, is_log):
        self.label, self.is_log = label, is_log
        if is_log:
            self.low = math.floor(math.log10(min(values)))
            self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
            self.ticks = [10.0 ** n for n in range(self.low, self.high + 1)]
        else:
            step = nice_step(max(values))
            count = math.ceil(max(values) / step)
            self.low, self.high = 0, count * step
            self.ticks = [n * step for n in range(count + 1)]

    def place(self, value):
        value = math.log10(value) if self.is_log else value
        return (value - self.low) / (self.high - self.low)


def nice_step(largest):
    """1, 2 or 5 times a power of ten, about a fifth of the whole."""
    power = 10.0 ** math.floor(math.log10(largest / 4)) if largest > 0 else 1
    return next(power * n for n in (1, 2, 5, 10) if largest / (power * n) <= 5)


def tick_text(value):
    return f'{value:,.0f}' if value >= 1 and value == int(value) else f'{value:.3g}'


class Panel:
    """series: name -> [(x, y)]."""

    def __init__(self, title, x_label, y_label, series, log_x=True, log_y=False):
        self.title, self.series = title, {n: points for n, points in series.items() if points}
        points = [point for points in self.series.values() for point in points]
        self.x = Axis(x_label, [x for x, _ in points], log_x)
        self.y = Axis(y_label, [y for _, y in points], log_y)

    def at(self, x, y):
        return (LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - TOP - BOTTOM))

    def draw(self, colours):
        return [*self.draw_axes(), *self.draw_legend(colours),
                *(line for name in self.series for line in self.draw_series(name, colours[name]))]

    def draw_axes(self):
        left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
        lines = [text(left, 16, self.title, 'start', 'font-weight="bold"'),
                 text((left + right) / 2, HEIGHT - 10, self.x.label),
                 text(14, (top + bottom) / 2, self.y.label, 'middle',
                      f'transform="rotate(-90 14 {(top + bottom) / 2:.1f})"')]
        for tick in self.x.ticks:
            x = left + self.x.place(tick) * (right - left)
            lines += [line(x, top, x, bottom), text(x, bottom + 16, tick_text(tick))]
        for tick in self.y.ticks:
            y = bottom - self.y.place(tick) * (bottom - top)
            lines += [line(left, y, right, y), text(left - 6, y + 4, tick_text(tick), 'end')]
        return lines

    def draw_legend(self, colours):
        """Two names in a row, below the title."""
        lines = []
        for at, name in enumerate(self.series):
            x, y = LEFT + at % 2 * (WIDTH - LEFT - RIGHT) / 2, 32 + at // 2 * 15
            lines += [f'<line x1="{x:.1f}" y1="{y - 4}" x2="{x + 16:.1f}" y2="{y - 4}" '
                      f'stroke="{colours[name]}" stroke-width="3"/>',
                      text(x + 21, y, name, 'start', 'font-size="11"')]
        return lines

    def draw_series(self, name, colour):
        places = [self.at(x, y) for x, y in self.series[name]]
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in places)
        dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
                *dots]


def text(x, y, words, anchor='middle', more=''):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def line(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#d8d8d8"/>'


def chart(panels):
    """The text of an SVG file."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}
    rows = (len(panels) + 1) // 2
    width, height = 2 * WIDTH, rows * HEIGHT
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
             f'width="{width}" height="{height}" {STYLE}>',
             f'<rect width="{width}" height="{height}" fill="white" stroke="none"/>']
    for at, panel in enumerate(panels):
        lines.append(f'<g transform="translate({at % 2 * WIDTH} {at // 2 * HEIGHT})">')
        lines += panel.draw(colours)
        lines.append('</g>')
    return '\n'.join([*lines, '</svg>']) + '\n'

"""The page of a model: everything its card says, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from wetgate.weights.card import DataRecord, ModelCard

_TASKS = {
    "denoise": "removes noise and grain, one frame",
    "denoise-temporal": "removes noise and grain, several frames",
    "deartifact": "removes what compression left",
    "upscale": "enlarges",
    "denoise-upscale": "removes noise and enlarges at once",
    "deblur": "sharpens lens and defocus blur",
    "generic": "made elsewhere; measured by nobody here",
}


def card_page(card: ModelCard, *, markdown: bool = False) -> str:
    """Return the page of a card, as aligned text or as Markdown.

    Says first what decides whether the model may be used at all: what it is, whether it invents,
    and its licence.
    """
    sections = [
        (f"{card.name}, version {card.version}", _summary(card)),
        ("Footprint", _footprint(card)),
        ("Training", _training(card)),
        ("Files (SHA-256)", list(card.files.items())),
        ("Options", [(k, _value(v)) for k, v in card.options.items()]),
    ]
    tables = [
        ("Measured quality", _quality(card)),
        (f"Training data, {len(card.training_data)} records", _data(card.training_data)),
    ]
    parts = [_facts(title, rows, markdown) for title, rows in sections if rows]
    parts += [_table(title, rows, markdown) for title, rows in tables if len(rows) > 1]
    return "\n\n".join(parts) + "\n"


def licence_line(card: ModelCard) -> str:
    """Return licence and what it means, e.g. "Apache-2.0, commercial use allowed"."""
    allowed = "commercial use allowed" if card.commercial else "NON-COMMERCIAL use only"
    return f"{card.licence}, {allowed}"


def _summary(card: ModelCard) -> list[tuple[str, str]]:
    return [
        ("what", card.description),
        ("task", f"{card.task}: {_TASKS[card.task]}"),
        ("licence", licence_line(card)),
        ("invents detail", "YES, generative" if card.generative else "no"),
        ("pixels", f"class {card.provenance} of 5"),
        ("architecture", f"{card.architecture}, {card.parameters:,} parameters, {card.precision}"),
        ("origin", card.origin),
        ("card digest", card.digest),
    ]


def _footprint(card: ModelCard) -> list[tuple[str, str]]:
    return [
        ("scale", f"x{card.scale}"),
        ("frames", str(2 * card.temporal_radius + 1)),
        ("halo", f"{card.halo} px"),
        ("size multiple", f"{card.size_multiple} px"),
        ("color encoding", card.color_encoding),
        ("planes in", ", ".join(card.inputs)),
        ("planes out", ", ".join(card.outputs)),
    ]


def _training(card: ModelCard) -> list[tuple[str, str]]:
    made = card.training
    if not made.recipe:
        return []
    return [
        ("recipe", made.recipe),
        ("seed, steps", f"{made.seed}, {made.steps:,}"),
        ("machine", made.machine),
        ("took", f"{made.seconds / 60:.1f} min" if made.seconds else ""),
        ("notes", made.notes),
    ]


def _quality(card: ModelCard) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("measured on", "metric", "model", "classical twin", "command")]
    for q in card.quality:
        twin = "" if q.twin_value is None else f"{q.twin_value:.4g} {q.twin}".strip()
        rows.append((q.data, q.metric, f"{q.value:.4g}", twin, q.command))
    return rows


def _data(records: Sequence[DataRecord]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("file", "origin", "licence", "author", "use", "SHA-256")]
    rows += [(r.file, r.origin, r.licence, r.author, r.use, r.sha256[:16]) for r in records]
    counts = Counter(r.licence or "not stated" for r in records)
    if len(records) > 1:
        summary = ", ".join(f"{n} {licence}" for licence, n in sorted(counts.items()))
        rows.append(("together", "", summary, "", "", ""))
    return rows


def _value(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _facts(title: str, rows: Sequence[tuple[str, str]], markdown: bool) -> str:
    rows = [(name, value) for name, value in rows if value]
    if markdown:
        return "\n".join([f"## {title}", "", *(f"- **{n}**: {v}" for n, v in rows)])
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {n.ljust(width)}  {v}" for n, v in rows)])


def _table(title: str, rows: Sequence[Sequence[str]], markdown: bool) -> str:
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    body = [[row[i] for i in kept] for row in rows]
    if markdown:
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in body]
        lines.insert(1, "|" + " --- |" * len(kept))
        return "\n".join([f"## {title}", "", *lines])
    widths = [max(len(row[i]) for row in body) for i in range(len(kept))]
    lines = ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
             for row in body]  # fmt: skip
    return "\n".join([title, *lines])

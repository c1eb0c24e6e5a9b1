"""Fields that the answers of several tasks have."""

from __future__ import annotations

from dataclasses import replace

from hfspec.ir.signature import Column


def many(column: Column) -> Column:
    """A list of what the column is, under its name."""
    return Column("array", column.name, fields=(replace(column, name=None),))


def objects(name: str, *fields: Column) -> Column:
    """A list of objects."""
    return Column("array", name, fields=fields)


def texts(*names: str) -> tuple[Column, ...]:
    """Fields that hold a text each."""
    return tuple(Column("string", name) for name in names)


def counts(*names: str) -> tuple[Column, ...]:
    """Fields that hold a whole number each."""
    return tuple(Column("long", name) for name in names)


SCORE, TRUNCATED = Column("double", "score"), Column("boolean", "truncated")
SCORES = many(Column("double", "scores"))
LABELS = (many(Column("string", "labels")), SCORES)
GENERATED = (*texts("text", "prompt"), *counts("prompt_tokens", "completion_tokens"), *texts("finish_reason"))
EMBEDDED = (*counts("tokens"), TRUNCATED, *texts("fingerprint"))
SPARSE = (many(Column("long", "indices")), many(Column("float", "values")))

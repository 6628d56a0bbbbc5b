"""The document model of `wetgate.recipe/1`; the only module of recipes that loads pydantic."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class StepDocument(BaseModel):
    """One operator with its settings."""

    model_config = ConfigDict(extra="forbid", strict=True, title="Step")

    operator: str = Field(description="registered operator name")
    strength: float = Field(default=1.0, ge=0.0, le=1.0, description="0 nothing, 1 all of it")
    params: dict[str, Any] = Field(default_factory=dict, description="the operator's own")


class RecipeDocument(BaseModel):
    """What to do to a plate."""

    model_config = ConfigDict(extra="forbid", strict=True, title="wetgate.recipe/1")

    schema_: Literal["wetgate.recipe/1"] = Field(alias="schema")
    name: str = Field(default="", description="what people call it")
    description: str = ""
    config: str = Field(default="", description="OCIO config; empty for the pinned one")
    input_space: str = Field(default="auto", description="OCIO name, alias or interop id")
    output_space: str = Field(default="same-as-input", description="OCIO name")
    range: Literal["full", "legal"] | None = Field(default=None, description="code range")
    steps: list[StepDocument] = Field(default_factory=list, description="operators in order")

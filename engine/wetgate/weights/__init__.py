"""Model packages: networks with a card that says what they are, where they come from, how good."""

from wetgate.weights.card import (
    TASKS,
    DataRecord,
    ModelCard,
    QualityRecord,
    Task,
    TrainingRecord,
)
from wetgate.weights.library import (
    BrokenPackage,
    ModelPackage,
    find_model,
    list_models,
    open_package,
    recall_model,
    scan_models,
    shipped_folder,
    user_folder,
    write_package,
)

__all__ = [
    "TASKS",
    "BrokenPackage",
    "DataRecord",
    "ModelCard",
    "ModelPackage",
    "QualityRecord",
    "Task",
    "TrainingRecord",
    "find_model",
    "list_models",
    "open_package",
    "recall_model",
    "scan_models",
    "shipped_folder",
    "user_folder",
    "write_package",
]

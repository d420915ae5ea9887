"""Options that several commands have; each reads the same wherever it stands.

Used by the module's name: `layers: options.Layers = None`. Those about tasks of ARC are in
`arc_options.py`; what one command alone has stands in that command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_MODEL = "smollm2-135m"

# The model, and where what it learns is kept.
Model = Annotated[
    str,
    typer.Option("--model", "-m", help="smollm2-135m, a Hugging Face id, or a model folder."),
]
Library = Annotated[
    Path | None,
    typer.Option("--library", help="Folder of versions and reports (default: your data folder)."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Dtype = Annotated[
    str, typer.Option("--dtype", help="auto (bfloat16 on CUDA, else float32), float32, bfloat16 …")
]
Format = Annotated[
    str,
    typer.Option("--prompt-format", help="auto, chat (the model's template) or plain (base models)."),
]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")]

# What is worked on, and how the policy is told.
Data = Annotated[
    str,
    typer.Option("--data", help="Contexts with questions: SQuAD JSON, JSON lines, or a dataset id."),
]
Policy = Annotated[
    Path | None,
    typer.Option("--policy", help="The trained model of `seal`: it writes and it learns."),
]

# Self-edits and their training. What is not given is left to the preset or to `config.py`.
Strategy = Annotated[str | None, typer.Option("--strategy", help="As in `selfedit learn`.")]
Temperature = Annotated[float | None, typer.Option("--temperature", help="Of the self-edits.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Of every random draw.")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate")]
Epochs = Annotated[int | None, typer.Option("--epochs")]
BatchSize = Annotated[int | None, typer.Option("--batch-size")]
Layers = Annotated[str | None, typer.Option("--layers", help='"all", "upper-half" or e.g. "15-29".')]

# The outer loop.
Rounds = Annotated[int | None, typer.Option("--rounds", help="Rounds.")]
EditSeeds = Annotated[int | None, typer.Option("--seeds", help="Trainings of a self-edit.")]
Tracker = Annotated[
    list[str] | None,
    typer.Option("--tracker", help="tensorboard, wandb, mlflow or trackio; repeatable."),
]

# How a command goes about it.
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
